"""Pairs of features as complex numbers: a rotation by an angle is one product."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def turned_pairs(x: Float[Tensor, "*shape k"], angle: Float[Tensor, "..."]) -> Tensor:
    """Features 2i and 2i + 1, of which there is an even number, turned by angle[..., i].

    On a CPU this takes about a third of the time of products with sines and cosines.

    >>> turned_pairs(torch.tensor([1.0, 0.0]), torch.tensor([torch.pi / 2])).round()
    tensor([-0., 1.])
    """
    pairs = x.contiguous().view(*x.shape[:-1], x.shape[-1] // 2, 2)
    pairs = _even(pairs.to(torch.promote_types(x.dtype, torch.float32)))  # no complex bf16 is there
    turned = torch.view_as_complex(pairs) * torch.polar(torch.ones_like(angle), angle)
    real: Tensor = _Even.apply(torch.view_as_real(turned))  # type: ignore[no-untyped-call]
    return real.flatten(-2).to(x.dtype)


class _Even(torch.autograd.Function):
    """The identity, whose gradient can be read as complex numbers."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(context: Any, slope: Tensor) -> Tensor:
        return _even(slope)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int], x: Tensor) -> tuple[Tensor, int]:
        return _Even.apply(x), in_dims[0]  # type: ignore[no-untyped-call]


def _even(x: Tensor) -> Tensor:
    """x, copied if its pairs do not all begin at an even place in memory."""
    odd = x.storage_offset() % 2 or any(stride % 2 for stride in x.stride()[:-1])
    return x.clone(memory_format=torch.contiguous_format) if odd or x.stride(-1) != 1 else x
