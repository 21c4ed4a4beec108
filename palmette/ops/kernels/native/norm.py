"""RMS norm and layer norm over the last dimension: `norm.cpp`.

    y = x / sqrt(mean(x^2) + epsilon) * scale
    y = (x - mean(x)) / sqrt(var(x) + epsilon) * scale + shift

Only x is kept; the backward pass normalises it again. All tensors may have a first dimension s for
as many models.
"""

from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.linear import bits, even_rows, fold, like, unfold, whole


@torch.library.custom_op("palmette::norm", mutates_args=(), device_types="cpu")
def norm_forward(
    x: Tensor, scale: Tensor, shift: Tensor | None, kind: int, epsilon: float
) -> Tensor:
    """The norm of x [... d], in one piece: see `norm`."""
    sizes = _check(x, scale, shift)
    y = like(x)
    x, x_row = even_rows(x)
    scale, shift = scale.contiguous(), whole(shift)
    call(
        library("norm").norm_forward,
        *(*sizes, address(x), x_row, address(scale), address(shift), kind, bits(epsilon)),
        *(address(y), 0, 0, 0, 0, 0, torch.get_num_threads()),
    )
    return y


@norm_forward.register_fake
def _(x: Tensor, scale: Tensor, shift: Tensor | None, kind: int, epsilon: float) -> Tensor:
    return like(x)


@torch.library.custom_op("palmette::norm_backward", mutates_args=(), device_types="cpu")
def norm_backward(
    dy: Tensor, x: Tensor, scale: Tensor, shift: Tensor | None, kind: int, epsilon: float
) -> list[Tensor]:
    """The derivatives by x, scale and, if it is there, shift."""
    sizes = _check(x, scale, shift)
    found = [like(given) for given in (x, scale, shift) if given is not None]
    x, x_row = even_rows(x)
    dy, dy_row = even_rows(dy)
    scale = scale.contiguous()
    call(
        library("norm").norm_backward,
        *(*sizes, address(x), x_row, address(scale), 0, kind, bits(epsilon), 0),
        *(address(dy), dy_row, address(found[0]), address(found[1])),
        *(0 if shift is None else address(found[2]), torch.get_num_threads()),
    )
    return found


@norm_backward.register_fake
def _(
    dy: Tensor, x: Tensor, scale: Tensor, shift: Tensor | None, kind: int, epsilon: float
) -> list[Tensor]:
    return [like(given) for given in (x, scale, shift) if given is not None]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, scale, shift, ctx.kind, ctx.epsilon = inputs
    ctx.save_for_backward(x, scale, shift)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    dx, dscale, *dshift = _norm_backward(dy, *ctx.saved_tensors, ctx.kind, ctx.epsilon)
    return dx, dscale, dshift[0] if dshift else None, None, None


norm_forward.register_autograd(_differentiate, setup_context=_keep)
_norm = direct(norm_forward, _keep, _differentiate)
_norm_backward = direct_backward(norm_backward)


def norm(x: Tensor, scale: Tensor, shift: Tensor | None, kind: int, epsilon: float) -> Tensor:
    """The norm of x [... d] with scale and shift [d]; `kind` is RMS_NORM or LAYER_NORM (`linear`).

    With scale [s d] all have a first dimension s. Raises `ValueError` if the shapes do not belong
    together, `NativeError` if the kernel cannot be built.
    """
    return _norm(x, scale, shift, kind, epsilon)  # type: ignore[no-any-return]


@norm_forward.register_vmap
def _(
    info: Any,
    where: tuple[int | None, ...],
    x: Tensor,
    scale: Tensor,
    shift: Tensor | None,
    kind: int,
    epsilon: float,
) -> tuple[Tensor, int]:
    inner = scale.ndim - (where[1] is not None) == 2
    if inner or where[1] is not None or where[2] is not None:
        given = fold(info, where[:3], (x, scale, shift), inner)
        return unfold(_norm(*given, kind, epsilon), info, inner), 0
    return _norm(*fold(info, where[:1], (x,), False), scale, shift, kind, epsilon), 0


def _check(x: Tensor, scale: Tensor, shift: Tensor | None) -> tuple[int, int, int]:
    *models, width = scale.shape
    count = models[0] if models else 1
    if (
        x.shape[-1] != width
        or (models and [*x.shape[:-1]][:1] != models)
        or (shift is not None and shift.shape != scale.shape)
    ):
        raise ValueError(
            f"x {list(x.shape)} cannot be normalised with a scale {list(scale.shape)}"
            + ("" if shift is None else f" and a shift {list(shift.shape)}")
        )
    if any(each is not None and each.dtype != torch.float32 for each in (x, scale, shift)):
        raise ValueError(f"native norms are of fp32, not of {x.dtype} and {scale.dtype}")
    return count, x.numel() // (count * width), width
