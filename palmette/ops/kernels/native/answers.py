"""What a model's answers are worth, for evaluation: nothing is differentiated here."""

from __future__ import annotations

import ctypes

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int
from torch import Tensor

from palmette.ops.kernels.native.library import library


def answers(
    logits: Float[Tensor, "n vocabulary"], targets: Int[np.ndarray, " n"]
) -> tuple[float, npt.NDArray[np.bool_]]:
    """The summed nats of the targets, and which of them [n] are the first of the largest logits.

    A target below 0 asks nothing: it costs nothing and is not right. Raises `NativeError` where the
    kernel cannot be built.
    """
    rows, vocabulary = logits.shape
    wanted = np.ascontiguousarray(targets, dtype=np.int64)
    assert wanted.shape == (rows,), "there is not one target a row"
    assert wanted.max(initial=-1) < vocabulary, "a target is no id of the vocabulary"
    given = logits.detach().float().contiguous()
    right = np.empty(rows, dtype=np.bool_)
    function = library("answers").answers
    function.restype = ctypes.c_double
    nats = function(
        ctypes.c_void_p(given.data_ptr()),
        ctypes.c_void_p(wanted.ctypes.data),
        ctypes.c_int64(rows),
        ctypes.c_int64(vocabulary),
        ctypes.c_void_p(right.ctypes.data),
    )
    return float(nats), right
