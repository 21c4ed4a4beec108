"""Losses that a part of a model has of its own, such as a router's load balance."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


class _Attach(torch.autograd.Function):
    """The identity in y; backward hands the loss a gradient of one (as DeepSeek-MoE does it)."""

    @staticmethod
    def forward(y: Tensor, loss: Tensor) -> Tensor:
        return y.view_as(y)

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        context.shape = inputs[1].shape

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[Tensor, Tensor]:
        return slope, slope.new_ones(context.shape)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, int | None], y: Tensor, loss: Tensor
    ) -> tuple[Tensor, int | None]:
        return _Attach.apply(y, loss), in_dims[0]  # type: ignore[no-untyped-call]


def attach(y: Float[Tensor, "..."], loss: Float[Tensor, ""]) -> Float[Tensor, "..."]:
    """y as it is; whoever differentiates through it also differentiates `loss`, once.

    So a loss needs no way out of a module, and a module that runs twice adds it twice. Call it
    while training alone.

    >>> weight = torch.ones(1, requires_grad=True)
    >>> attach(torch.zeros(2, requires_grad=True), (3 * weight).sum()).sum().backward()
    >>> weight.grad
    tensor([3.])
    """
    attached: Tensor = _Attach.apply(y, loss)  # type: ignore[no-untyped-call]
    return attached
