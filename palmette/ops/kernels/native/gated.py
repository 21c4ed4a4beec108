"""Channel mixers, gated or not, with a norm before and a residual step around: `gated.cpp`.

    y = down h + bias (+ x),   h = f(gate n + bias) * (up n)   or   h = f(gate n + bias)

where n = norm(x). One operator each way. Of what lies between x and y the hidden layer before its
activation is kept where it is small, as its memory is then faster than its products; otherwise
nothing is. All tensors may have a first dimension s for as many models.
"""

from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.linear import (
    NO_NORM,
    bits,
    check_vector,
    even_rows,
    fold,
    like,
    sizes_of,
    unfold,
    whole,
)

ACTIVATIONS = {"sigmoid": 0, "silu": 1, "gelu": 2, "relu": 3, "relu2": 4}
KEPT = 2**22
"""The largest hidden layer, in numbers, that is kept for the backward pass.

Kept, a mixer takes 8 to 14 % less time both ways (512 to 8,192 tokens, width 32 to 128, a two-core
AVX-512 machine), and memory that grows with the length: this is where memory begins to matter.
"""
LANES = 16  # at most: rows that are kept are this much longer than the hidden layer


@torch.library.custom_op("palmette::gated", mutates_args=(), device_types="cpu")
def gated_forward(
    x: Tensor,
    gate: Tensor,
    up: Tensor | None,
    down: Tensor,
    gate_bias: Tensor | None,
    down_bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    norm: int,
    epsilon: float,
    activation: int,
    residual: bool,
    keeping: bool,
) -> tuple[Tensor, Tensor]:
    """The channel mixer of x [... d], in one piece: see `gated`; and what it keeps if `keeping`."""
    sizes = _check(x, gate, up, down, gate_bias, down_bias, scale, shift)
    y, kept = like(x), _kept(x, gate, up, keeping)
    x, x_row = even_rows(x)
    parts = [whole(each) for each in (gate, up, down, gate_bias, down_bias, scale, shift)]
    call(
        library("gated").gated_forward,
        *(*sizes, address(x), x_row, *map(address, parts), norm, bits(epsilon), activation),
        *(residual, kept.data_ptr(), address(y), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        torch.get_num_threads(),
    )
    return y, kept


def _kept(x: Tensor, gate: Tensor, up: Tensor | None, keeping: bool) -> Tensor:
    if not keeping:
        return x.new_empty(0)
    hidden, width = gate.shape[-2:]
    rows = x.numel() // width * (1 if up is None else 2)
    return x.new_empty(rows * ((hidden + LANES - 1) // LANES * LANES))


@gated_forward.register_fake
def _(
    x: Tensor,
    gate: Tensor,
    up: Tensor | None,
    down: Tensor,
    gate_bias: Tensor | None,
    down_bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    norm: int,
    epsilon: float,
    activation: int,
    residual: bool,
    keeping: bool,
) -> tuple[Tensor, Tensor]:
    return like(x), _kept(x, gate, up, keeping)


@torch.library.custom_op("palmette::gated_backward", mutates_args=(), device_types="cpu")
def gated_backward(
    dy: Tensor,
    kept: Tensor,
    x: Tensor,
    gate: Tensor,
    up: Tensor | None,
    down: Tensor,
    gate_bias: Tensor | None,
    down_bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    norm: int,
    epsilon: float,
    activation: int,
    residual: bool,
) -> list[Tensor]:
    """The derivatives by the tensors of `gated_forward`, in its order, as far as they are there.

    With a shift there is one by the gate's bias in any case, which the shift's is made of.
    """
    sizes = _check(x, gate, up, down, gate_bias, down_bias, scale, shift)
    given = (x, gate, up, down, gate_bias, down_bias, scale, shift)
    found = _derivatives(given)
    x, x_row = even_rows(x)
    dy, dy_row = even_rows(dy)
    parts = [whole(each) for each in given[1:]]
    places = iter([each.data_ptr() for each in found])
    call(
        library("gated").gated_backward,
        *(*sizes, address(x), x_row, *map(address, parts), norm, bits(epsilon), activation),
        *(residual, kept.data_ptr(), 0, address(dy), dy_row),
        *(next(places) if there else 0 for there in _there(given)),
        torch.get_num_threads(),
    )
    return found


def _there(given: tuple[Tensor | None, ...]) -> list[bool]:
    there = [each is not None for each in given]
    there[4] = there[4] or there[7]
    return there


def _derivatives(given: tuple[Tensor | None, ...]) -> list[Tensor]:
    gate = given[1]
    assert gate is not None
    return [
        gate.new_empty(gate.shape[:-1]) if each is None else like(each)
        for each, there in zip(given, _there(given), strict=True)
        if there
    ]


@gated_backward.register_fake
def _(
    dy: Tensor,
    kept: Tensor,
    x: Tensor,
    gate: Tensor,
    up: Tensor | None,
    down: Tensor,
    gate_bias: Tensor | None,
    down_bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
    norm: int,
    epsilon: float,
    activation: int,
    residual: bool,
) -> list[Tensor]:
    return _derivatives((x, gate, up, down, gate_bias, down_bias, scale, shift))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.set_materialize_grads(False)
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], *inputs[:8])
    ctx.rest = inputs[8:12]


def _differentiate(ctx: Any, dy: Tensor, dkept: None) -> tuple[Tensor | None, ...]:
    kept, given = ctx.saved_tensors[0], ctx.saved_tensors[1:]
    found = iter(_gated_backward(dy, kept, *given, *ctx.rest))
    gradients = [next(found) if there else None for there in _there(given)]
    if given[4] is None:
        gradients[4] = None
    return *gradients, None, None, None, None, None


gated_forward.register_autograd(_differentiate, setup_context=_keep)
_gated = direct(gated_forward, _keep, _differentiate)
_gated_backward = direct_backward(gated_backward)


def gated(
    x: Tensor,
    gate: Tensor,
    up: Tensor | None,
    down: Tensor,
    activation: str,
    *,
    gate_bias: Tensor | None = None,
    down_bias: Tensor | None = None,
    scale: Tensor | None = None,
    shift: Tensor | None = None,
    norm: int = NO_NORM,
    epsilon: float = 0.0,
    residual: bool = False,
) -> Tensor:
    """down (f(gate n + gate_bias) * up n) + down_bias, and x if `residual`, for x [... d].

    gate and up are [hidden d], down [d hidden]; without `up` there is no product. n is x, or its
    norm (`linear`) with `scale` and `shift`. `activation` is a key of `ACTIVATIONS`. With weights
    [s hidden d] all have a first dimension s.

    Raises `ValueError` if the shapes do not belong together, `NativeError` if the kernel cannot be
    built.
    """
    rest = (norm, epsilon, ACTIVATIONS[activation], residual)
    small = x.numel() // gate.shape[-1] * gate.shape[-2] <= KEPT
    keeping = small and torch.is_grad_enabled()
    y, _ = _gated(x, gate, up, down, gate_bias, down_bias, scale, shift, *rest, keeping)
    return y  # type: ignore[no-any-return]


@gated_forward.register_vmap
def _(
    info: Any, where: tuple[int | None, ...], *given: Any
) -> tuple[tuple[Tensor, Tensor], tuple[int, None]]:
    tensors, rest = given[:8], given[8:]
    inner = tensors[1].ndim - (where[1] is not None) == 3
    if inner or any(at is not None for at in where[1:8]):
        y, kept = _gated(*fold(info, where, tensors, inner), *rest)
        return (unfold(y, info, inner), kept), (0, None)
    return _gated(*fold(info, where[:1], tensors[:1], False), *given[1:]), (0, None)


def _check(
    x: Tensor,
    gate: Tensor,
    up: Tensor | None,
    down: Tensor,
    gate_bias: Tensor | None,
    down_bias: Tensor | None,
    scale: Tensor | None,
    shift: Tensor | None,
) -> tuple[int, int, int, int]:
    models, rows, hidden, width = sizes_of(x, gate)
    check_vector(gate_bias, gate, -2)
    for vector in (down_bias, scale, shift):
        check_vector(vector, gate, -1)
    turned = (*gate.shape[:-2], width, hidden)
    if down.shape != turned or (up is not None and up.shape != gate.shape):
        raise ValueError(
            f"gate {list(gate.shape)} wants up {list(gate.shape)} and down {list(turned)}; got "
            f"{None if up is None else list(up.shape)} and {list(down.shape)}"
        )
    if any(w is not None and w.dtype is not torch.float32 for w in (up, down)):
        raise ValueError("native mixers are of fp32, and one of the matrices is not")
    return models, rows, width, hidden
