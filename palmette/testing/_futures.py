"""Other futures for a test of causality: what stands in place of the tokens to come.

Inputs are features [b t d] or, if they are integers, token ids [b t] of a small vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

VOCABULARY = 19


def _noise(x: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    if x.is_floating_point():
        return torch.randn(x.shape, generator=generator)
    return torch.randint(VOCABULARY, x.shape, generator=generator)


def _sign(x: Tensor) -> Tensor:
    return -x if x.is_floating_point() else VOCABULARY - 1 - x


def _scale(x: Tensor) -> Tensor:
    return 10 * x if x.is_floating_point() else torch.zeros_like(x)


FUTURES: dict[str, Callable[[Tensor], Tensor]] = {
    "noise": _noise,
    "sign": _sign,
    "scale": _scale,
}
