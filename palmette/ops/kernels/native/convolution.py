"""K3 in native code: the depthwise causal convolution with its bias and the SiLU after it.

The function of `palmette.ops.kernels.convolution`, whose file has the equation. With s models at
once all tensors begin with s: x [s b t d], weight [s d w], bias [s d]. fp32 on a CPU.
"""

from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call, row_stride, rows
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.linear import fold, whole

UNUSED = (0, 0)  # the kernel's own fields of the table


@torch.library.custom_op("palmette::convolution", mutates_args=(), device_types="cpu")
def forward_operator(
    x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, silu: bool
) -> Tensor:
    """y [.. b t d], in one piece."""
    check(x, weight, bias)
    y = x.new_empty(x.shape)
    run_forward(rows(x), weight.contiguous(), whole(bias), y, dilation, silu)
    return y


@forward_operator.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, silu: bool) -> Tensor:
    check(x, weight, bias)
    return x.new_empty(x.shape)


@torch.library.custom_op("palmette::convolution_backward", mutates_args=(), device_types="cpu")
def backward_operator(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of x, of the weight and of the bias (empty if there is none)."""
    check(x, weight, bias)
    weight, bias = weight.contiguous(), whole(bias)
    dx, dweight, dbias = _gradients(x, weight, bias)
    run_backward(rows(dy), rows(x), weight, bias, dx, dweight, dbias, dilation, silu)
    return dx, dweight, dbias


@backward_operator.register_fake
def _(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int, silu: bool
) -> tuple[Tensor, Tensor, Tensor]:
    return _gradients(x, weight, bias)


def _gradients(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    dbias = x.new_empty(0) if bias is None else x.new_empty(bias.shape)
    return x.new_empty(x.shape), x.new_empty(weight.shape), dbias


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.dilation, ctx.silu = inputs
    ctx.save_for_backward(x, weight, bias)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias = ctx.saved_tensors
    dx, dweight, dbias = _backward(dy, x, weight, bias, ctx.dilation, ctx.silu)
    return dx, dweight, (None if bias is None else dbias), None, None


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@forward_operator.register_vmap
def _(
    info: Any,
    where: tuple[int | None, ...],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    silu: bool,
) -> tuple[Tensor, int]:
    assert weight.ndim + (where[1] is None) == 3, "one dimension of models is all that is folded"
    folded = fold(info, where[:3], (x, weight, bias), False)
    return forward_operator(*folded, dilation, silu), 0


def convolution(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, dilation: int = 1, silu: bool = False
) -> Tensor:
    """z_t = bias + sum_j weight[:, j] x_{t - dilation (w - 1 - j)}, and z sigmoid(z) if `silu`.

    x [b t d], weight [d w], bias [d]; or all of them with a leading s. Raises `ValueError` if they
    do not belong together and `NativeError` if the kernel cannot be built.
    """
    return _forward(x, weight, bias, dilation, silu)  # type: ignore[no-any-return]


def convolution_step(
    x: Tensor,
    past: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    dilation: int = 1,
    silu: bool = False,
) -> tuple[Tensor, Tensor]:
    """One token x [b d]: its output, and the inputs [b p d] seen after it; without derivative.

    `past` [b p d] holds the last p = dilation (w - 1) inputs and is left alone.
    """
    y, after = x.new_empty(x.shape), torch.empty_like(past, memory_format=torch.contiguous_format)
    if x.stride(1) != 1:
        x = x.contiguous()
    past, weight, bias = past.contiguous(), weight.contiguous(), whole(bias)
    call(
        library("convolution").step,
        *(*x.shape, weight.shape[1], dilation, silu),
        *map(address, (x, past, weight, bias, y, after)),
        x.stride(0),
    )
    return y, after


def check(x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Raises `ValueError` unless the shapes go together and all is fp32."""
    if x.ndim not in (3, 4):
        raise ValueError(f"x is {list(x.shape)}; wanted [b t d] or [s b t d]")
    if weight.shape[:-1] != (*x.shape[:-3], x.shape[-1]):
        raise ValueError(f"a weight {list(weight.shape)} does not go with x {list(x.shape)}")
    if bias is not None and bias.shape != weight.shape[:-1]:
        raise ValueError(f"a bias {list(bias.shape)} does not go with x {list(x.shape)}")
    if any(given is not None and given.dtype != torch.float32 for given in (x, weight, bias)):
        raise ValueError("the native convolution computes in float32")


def run_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor, dilation: int, silu: bool
) -> None:
    """Writes y, whose rows may be parts of longer ones, as those of x may."""
    _run("forward", (x, weight, bias, None, y, None, None, None), dilation, silu)


def run_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dx: Tensor,
    dweight: Tensor,
    dbias: Tensor,
    dilation: int,
    silu: bool,
) -> None:
    """Writes dx, whose rows may be parts of longer ones, dweight and dbias."""
    wanted = None if bias is None else dbias
    _run("backward", (x, weight, bias, dy, None, dx, dweight, wanted), dilation, silu)


def _run(way: str, tensors: tuple[Tensor | None, ...], dilation: int, silu: bool) -> None:
    x, weight = tensors[:2]
    assert x is not None
    assert weight is not None
    *models, batch, length, channels = x.shape
    sizes = (models[0] if models else 1, batch, length, channels, weight.shape[-1], dilation, silu)
    call(
        getattr(library("convolution"), way),
        *sizes,
        torch.get_num_threads(),
        *map(address, tensors),
        *(row_stride(tensors[i]) for i in (0, 4, 3, 5)),
        *UNUSED,
    )
