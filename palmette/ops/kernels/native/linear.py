"""Products with a weight matrix, with a norm before them and a residual stream after: `linear.cpp`.

    y = norm(x) W^T + bias + residual

The norm is none, an RMS norm or a layer norm; its scale is folded into the weights as they are
packed, and nothing of it is kept: the backward pass normalises again. All tensors may have a first
dimension s for as many models, each with its own weights.
"""

import struct
from functools import cache
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library

NO_NORM, RMS_NORM, LAYER_NORM = 0, 1, 2


@torch.library.custom_op("palmette::linear", mutates_args=(), device_types="cpu")
def linear_forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
    norm: int = NO_NORM,
    epsilon: float = 0.0,
) -> Tensor:
    """y [... n] = norm(x) W^T + bias + residual, for x [... k] and weight W [n k].

    `norm` is NO_NORM, RMS_NORM or LAYER_NORM, with `scale` [k] and, for a layer norm, `shift` [k].
    `residual` is like y. With weight [s n k] all have a first dimension s.

    Raises `ValueError` if the shapes do not belong together, `NativeError` if the kernel cannot be
    built.
    """
    sizes = sizes_of(x, weight)
    check_vector(bias, weight, -2)
    check_vector(scale, weight, -1)
    check_vector(shift, weight, -1)
    y = x.new_empty(*x.shape[:-1], sizes[2])
    x, x_row = even_rows(x)
    weight, bias, scale, shift = weight.contiguous(), whole(bias), whole(scale), whole(shift)
    residual_row = 0
    if residual is not None:
        if residual.shape != y.shape:
            raise ValueError(f"residual is {list(residual.shape)}, but y {list(y.shape)}")
        residual, residual_row = even_rows(residual)
    call(
        library("linear").linear_forward,
        *(*sizes, address(x), x_row, address(weight), address(bias), address(scale)),
        *(address(shift), address(residual), residual_row, norm, bits(epsilon), address(y)),
        *(0, 0, 0, 0, 0, 0, 0, torch.get_num_threads()),
    )
    return y


@linear_forward.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
    norm: int = NO_NORM,
    epsilon: float = 0.0,
) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[-2]))


@torch.library.custom_op("palmette::linear_backward", mutates_args=(), device_types="cpu")
def linear_backward(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    biased: bool,
    norm: int,
    epsilon: float,
) -> list[Tensor]:
    """The derivatives by x, weight, bias, scale and shift, as far as these are there.

    With a shift there is one by the bias in any case: it is what the shift's is made of.
    """
    sizes = sizes_of(x, weight)
    found = _derivatives(x, weight, scale, shift, biased)
    x, x_row = even_rows(x)
    dy, dy_row = even_rows(dy)
    weight, scale, shift = weight.contiguous(), whole(scale), whole(shift)
    places = iter([each.data_ptr() for each in found])
    call(
        library("linear").linear_backward,
        *(*sizes, address(x), x_row, address(weight), 0, address(scale), address(shift), 0, 0),
        *(norm, bits(epsilon), 0, address(dy), dy_row, next(places), next(places)),
        *(next(places) if there else 0 for there in _there(scale, shift, biased)),
        torch.get_num_threads(),
    )
    return found


def _there(scale: Tensor | None, shift: Tensor | None, biased: bool) -> tuple[bool, bool, bool]:
    return biased or shift is not None, scale is not None, shift is not None


def _derivatives(
    x: Tensor, weight: Tensor, scale: Tensor | None, shift: Tensor | None, biased: bool
) -> list[Tensor]:
    found = [like(x), like(weight)]
    if biased or shift is not None:
        found.append(x.new_empty(weight.shape[:-1]))
    found += [like(vector) for vector in (scale, shift) if vector is not None]
    return found


@linear_backward.register_fake
def _(
    dy: Tensor,
    x: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    shift: Tensor | None,
    biased: bool,
    norm: int,
    epsilon: float,
) -> list[Tensor]:
    return _derivatives(x, weight, scale, shift, biased)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, scale, shift, residual, ctx.norm, ctx.epsilon = inputs
    ctx.biased, ctx.added = bias is not None, residual is not None
    ctx.save_for_backward(x, weight, scale, shift)


def _differentiate(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, scale, shift = ctx.saved_tensors
    found = iter(_linear_backward(dy, x, weight, scale, shift, ctx.biased, ctx.norm, ctx.epsilon))
    dx, dw = next(found), next(found)
    db, dscale, dshift = (
        next(found) if there else None for there in _there(scale, shift, ctx.biased)
    )
    return dx, dw, db if ctx.biased else None, dscale, dshift, dy if ctx.added else None, None, None


linear_forward.register_autograd(_differentiate, setup_context=_keep)
_linear = direct(linear_forward, _keep, _differentiate)
_linear_backward = direct_backward(linear_backward)


def linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
    norm: int = NO_NORM,
    epsilon: float = 0.0,
) -> Tensor:
    """`linear_forward`, by the short way where it is open."""
    return _linear(x, weight, bias, scale, shift, residual, norm, epsilon)  # type: ignore[no-any-return]


@linear_forward.register_vmap
def _(
    info: Any,
    where: tuple[int | None, ...],
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    residual: Tensor | None = None,
    norm: int = NO_NORM,
    epsilon: float = 0.0,
) -> tuple[Tensor, int]:
    given = (x, weight, bias, scale, shift, residual)
    inner = weight.ndim - (where[1] is not None) == 3
    if inner or any(at is not None for at in where[1:5]):
        return unfold(
            linear_forward(*fold(info, where, given, inner), norm, epsilon), info, inner
        ), 0
    x, residual = fold(info, (where[0], *where[5:6]), (x, residual), False)
    return linear(x, weight, bias, scale, shift, residual, norm, epsilon), 0


def fold(
    info: Any, where: tuple[int | None, ...], given: tuple[Tensor | None, ...], inner: bool
) -> tuple[Any, ...]:
    """The tensors with the dimension that is mapped over in front, in one with s if it is `inner`.

    Arguments at their defaults are not in `where`, which may thus be shorter than `given`.
    """
    moved = (
        each
        if each is None
        else each.expand(info.batch_size, *each.shape)
        if at is None
        else each.movedim(at, 0)
        for each, at in zip_longest(given, where[: len(given)])
    )
    return tuple(each.flatten(0, 1) if inner and each is not None else each for each in moved)


def unfold(found: Tensor, info: Any, inner: bool) -> Tensor:
    """What an operator made of tensors that `fold` has folded, with their dimension in front."""
    return found.view(info.batch_size, -1, *found.shape[1:]) if inner else found


def sizes_of(x: Tensor, weight: Tensor) -> tuple[int, int, int, int]:
    """The sizes (s, rows, n, k) of x [... k] and weight [n k], or x [s ... k] and weight [s n k].

    Raises `ValueError` if they do not belong together, or are not fp32.
    """
    shape, of_weight = x.shape, weight.shape
    models = of_weight[0] if len(of_weight) == 3 else 1
    n, k = of_weight[-2:]
    if shape[-1] != k or (len(of_weight) == 3 and (len(shape) < 2 or shape[0] != models)):
        raise ValueError(f"x {list(shape)} cannot be multiplied by weight {list(of_weight)}")
    if x.dtype is not torch.float32 or weight.dtype is not torch.float32:
        raise ValueError(f"native products are of fp32, not of {x.dtype} and {weight.dtype}")
    return models, x.numel() // (models * k), n, k


def check_vector(vector: Tensor | None, weight: Tensor, dimension: int) -> None:
    """Raises `ValueError` unless it is None, or like that dimension of weight, with its s, fp32."""
    if vector is None:
        return
    wanted = weight.shape[:-2] + weight.shape[dimension:][:1]
    if vector.shape != wanted or vector.dtype is not torch.float32:
        raise ValueError(
            f"a vector beside weight {list(weight.shape)} is {list(vector.shape)} of "
            f"{vector.dtype}; it has to be {list(wanted)} of torch.float32"
        )


def like(x: Tensor) -> Tensor:
    """Room for a tensor of this shape, in one piece; `new_empty` of a shape takes twice as long."""
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def even_rows(x: Tensor) -> tuple[Tensor, int]:
    """The tensor [... n], copied if its rows are not equally far apart, and how far they are."""
    if x.is_contiguous():
        return x, x.shape[-1]
    strides, shape = x.stride(), x.shape
    if strides[-1] == 1 and all(
        strides[i] == strides[i + 1] * shape[i + 1] for i in range(len(shape) - 2)
    ):
        return x, strides[-2]
    return x.contiguous(), shape[-1]


def whole(x: Tensor | None) -> Tensor | None:
    """The tensor in one piece, if there is one."""
    return None if x is None else x.contiguous()


@cache
def bits(number: float) -> int:
    """A float as a kernel's table of whole numbers holds it."""
    return int(struct.unpack("q", struct.pack("d", number))[0])
