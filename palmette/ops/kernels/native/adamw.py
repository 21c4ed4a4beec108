"""AdamW and the clip of the gradient norm in one call for all tensors of a model, or of s models.

What the call is about stands in a table that is filled once; from step to step only the addresses
of the gradients change. Nothing is differentiated, so it is no operator of torch: a call through
torch would cost more than the arithmetic of a small model does.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from palmette.ops.kernels.native.library import library

TENSOR = np.dtype(
    [
        ("parameter", np.int64),
        ("gradient", np.int64),
        ("first", np.int64),
        ("second", np.int64),
        ("size", np.int64),
        ("steps", np.int64),
        ("decay", np.float64),
    ]
)
"""A tensor [s n] as the kernel knows it: addresses, n, the steps taken, the weight decay."""


class Step:
    """The compiled step over a table of tensors, of `models` models each.

    `table` [tensors] of `TENSOR` and the memory at its addresses have to live as long as this.

    Raises `NativeError` if the kernel cannot be built.
    """

    def __init__(
        self,
        table: npt.NDArray[Any],
        models: int,
        *,
        clip_norm: float,
        betas: tuple[float, float],
        epsilon: float,
    ) -> None:
        assert table.dtype == TENSOR, "the table is not one of tensors"
        assert table.flags.c_contiguous, "the table is not in one piece"
        self.rates = np.zeros(models)
        self.norms = np.zeros(models)
        self._table = table
        self._function = library("adamw").step
        self._arguments = (
            ctypes.c_void_p(table.ctypes.data),
            ctypes.c_int64(len(table)),
            ctypes.c_int64(models),
            ctypes.c_void_p(self.rates.ctypes.data),
            ctypes.c_void_p(self.norms.ctypes.data),
            *map(ctypes.c_double, (clip_norm, *betas, epsilon)),
        )

    def __call__(self) -> None:
        """Takes a step at `rates` [s]; `norms` [s] are then the gradient norms before the clip."""
        self._function(*self._arguments)
