"""K2 in native code: softmax attention, from one projection of each token to what its heads read.

The function of `palmette.ops.kernels.attention`, whose file has the equation, and around it what
`attn` does to a token's parts: the norm and scale of queries and keys, their turn by position
(RoPE), the sigmoid gates of the output, the forget gate. A token's parts lie side by side,

    q [h k]   k [g k]   v [g k]   gate [0, h or h k]   forget [0 or h]

so one product makes them and one receives their slopes; nothing is transposed or copied between.
No matrix of t by t is kept (arXiv 2205.14135): beside the output two numbers for each query and
head. With s models at once all tensors begin with s. fp32 on a CPU.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.linear import fold

GATES = ("none", "head", "element")

Weights = tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]


class Shape(NamedTuple):
    """What an attention is, its tensors aside.

    heads, kv_heads, head_size   h, g, k; h is a multiple of g
    window      keys that a query sees, its own included; 0 for all
    rope        whether queries and keys are turned by position
    both_ways   whether queries see later keys too
    gate        of the output: one of `GATES`
    forget      whether there are forget gates
    """

    heads: int
    kv_heads: int
    head_size: int
    window: int = 0
    rope: bool = False
    both_ways: bool = False
    gate: str = "none"
    forget: bool = False

    @property
    def width(self) -> int:
        """Columns of the projection of a token."""
        gates = (0, self.heads, self.heads * self.head_size)[GATES.index(self.gate)]
        return (self.heads + 2 * self.kv_heads) * self.head_size + gates + self.heads * self.forget


def attention(
    projected: Tensor,
    shape: Shape,
    *,
    by_distance: Tensor | None = None,
    sink: Tensor | None = None,
    query_scale: Tensor | None = None,
    key_scale: Tensor | None = None,
) -> Tensor:
    """What the heads read, [b t h k], from projections [b t e]; with s models [s b t e].

    by_distance [h r]   added to the score of a key by its distance, r at least t
    sink [h]            logit of attending to nothing
    query_scale [h k], key_scale [g k]   both or none: norm queries and keys to unit power first

    Raises `ValueError` if the shapes do not belong together, `NativeError` if the kernel cannot be
    built.
    """
    out: Tensor
    out, _ = _forward(projected, by_distance, sink, query_scale, key_scale, *_plain(shape))
    return out


def _plain(shape: Shape) -> tuple[int, int, int, int, bool, bool, int, bool]:
    return (*shape[:6], GATES.index(shape.gate), shape.forget)


@torch.library.custom_op("palmette::attention", mutates_args=(), device_types="cpu")
def forward_operator(
    projected: Tensor,
    by_distance: Tensor | None,
    sink: Tensor | None,
    query_scale: Tensor | None,
    key_scale: Tensor | None,
    heads: int,
    kv_heads: int,
    head_size: int,
    window: int,
    rope: bool,
    both_ways: bool,
    gate: int,
    forget: bool,
) -> tuple[Tensor, Tensor]:
    """The output [.. b t h k], and for each query what its weights are made from, [.. b h 2 t]."""
    shape = Shape(heads, kv_heads, head_size, window, rope, both_ways, GATES[gate], forget)
    weights = (by_distance, sink, query_scale, key_scale)
    check(projected, weights, shape)
    out, rows = _outputs(projected, shape)
    _run("attention_forward", projected, weights, shape, out, rows, None, None, (None,) * 4)
    return out, rows


@forward_operator.register_fake
def _(
    projected: Tensor,
    by_distance: Tensor | None,
    sink: Tensor | None,
    query_scale: Tensor | None,
    key_scale: Tensor | None,
    heads: int,
    kv_heads: int,
    head_size: int,
    window: int,
    rope: bool,
    both_ways: bool,
    gate: int,
    forget: bool,
) -> tuple[Tensor, Tensor]:
    shape = Shape(heads, kv_heads, head_size, window, rope, both_ways, GATES[gate], forget)
    check(projected, (by_distance, sink, query_scale, key_scale), shape)
    return _outputs(projected, shape)


def _outputs(projected: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    *batch, length, _ = projected.shape
    out = projected.new_empty((*batch, length, shape.heads, shape.head_size))
    return out, projected.new_empty((*batch, shape.heads, 2, length))


@torch.library.custom_op("palmette::attention_backward", mutates_args=(), device_types="cpu")
def backward_operator(
    slope: Tensor,
    projected: Tensor,
    out: Tensor,
    rows: Tensor,
    by_distance: Tensor | None,
    sink: Tensor | None,
    query_scale: Tensor | None,
    key_scale: Tensor | None,
    heads: int,
    kv_heads: int,
    head_size: int,
    window: int,
    rope: bool,
    both_ways: bool,
    gate: int,
    forget: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The slopes by the projections and the four weights; empty for those that are not there."""
    shape = Shape(heads, kv_heads, head_size, window, rope, both_ways, GATES[gate], forget)
    weights = (by_distance, sink, query_scale, key_scale)
    found = _slopes(projected, weights)
    first, second, third, fourth = (
        None if weight is None else one for weight, one in zip(weights, found[1:], strict=True)
    )
    wanted = (first, second, third, fourth)
    slope = slope.contiguous()
    _run("attention_backward", projected, weights, shape, out, rows, slope, found[0], wanted)
    return found


@backward_operator.register_fake
def _(
    slope: Tensor,
    projected: Tensor,
    out: Tensor,
    rows: Tensor,
    by_distance: Tensor | None,
    sink: Tensor | None,
    query_scale: Tensor | None,
    key_scale: Tensor | None,
    heads: int,
    kv_heads: int,
    head_size: int,
    window: int,
    rope: bool,
    both_ways: bool,
    gate: int,
    forget: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _slopes(projected, (by_distance, sink, query_scale, key_scale))


def _slopes(projected: Tensor, weights: Weights) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    first, second, third, fourth = (
        projected.new_empty(0 if weight is None else weight.shape) for weight in weights
    )
    return projected.new_empty(projected.shape), first, second, third, fourth


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.shape = inputs[5:]
    ctx.save_for_backward(inputs[0], *output, *inputs[1:5])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, slope: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    projected, out, rows, *weights = ctx.saved_tensors
    if slope is None:
        return (None,) * (5 + len(ctx.shape))
    by_projected, *slopes = _backward(slope, projected, out, rows, *weights, *ctx.shape)
    given = (None if weight is None else one for weight, one in zip(weights, slopes, strict=True))
    return (by_projected, *given, *(None,) * len(ctx.shape))


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@forward_operator.register_vmap
def _(info: Any, where: tuple[int | None, ...], *given: Any) -> tuple[Any, tuple[int, int]]:
    return forward_operator(*fold(info, where[:5], given[:5], False), *given[5:]), (0, 0)


def check(projected: Tensor, weights: Weights, shape: Shape) -> None:
    """Raises `ValueError` if the shapes do not go together or something is not fp32."""
    h, g, k = shape[:3]
    if projected.ndim not in (3, 4) or projected.shape[-1] != shape.width:
        raise ValueError(
            f"projections are [b t {shape.width}] or [s b t {shape.width}] here, "
            f"not {list(projected.shape)}"
        )
    if h % g:
        raise ValueError(f"{h} query heads cannot share {g} heads of keys evenly")
    models = tuple(projected.shape[:-3])
    by_distance, _, query_scale, key_scale = weights
    reach = projected.shape[-2] if by_distance is None else by_distance.shape[-1]
    if reach < projected.shape[-2]:
        raise ValueError(f"{projected.shape[-2]} tokens, but biases for {reach} distances")
    wanted = ((h, reach), (h,), (h, k), (g, k))
    for weight, size in zip(weights, wanted, strict=True):
        if weight is not None and tuple(weight.shape) != (*models, *size):
            raise ValueError(f"a weight is {list(weight.shape)}, not {[*models, *size]}")
    if (query_scale is None) != (key_scale is None):
        raise ValueError("a norm is of queries and keys both")
    if any(x is not None and x.dtype != torch.float32 for x in (projected, *weights)):
        raise ValueError("native kernels are for fp32")


def _run(
    way: str,
    projected: Tensor,
    weights: Weights,
    shape: Shape,
    out: Tensor,
    rows: Tensor,
    slope: Tensor | None,
    by_projected: Tensor | None,
    by_weights: Weights,
) -> None:
    if projected.stride(-1) != 1 or (
        projected.ndim == 4 and projected.stride(0) != projected.stride(1) * projected.shape[1]
    ):
        projected = projected.contiguous()
    *models, batch, length, _ = projected.shape
    by_distance, sink, query_scale, key_scale = (
        None if weight is None else weight.contiguous() for weight in weights
    )
    s = models[0] if models else 1
    kernel = library("attention")
    reach = 1 << max(0, length - 1).bit_length()  # few tables serve all lengths
    turns = turns_by_position(reach, shape.head_size, kernel.lanes()) if shape.rope else None
    call(
        getattr(kernel, way),
        *(address(projected), projected.stride(-3), projected.stride(-2)),
        *map(address, (out, rows, turns, query_scale, key_scale, by_distance, sink)),
        *(0 if by_distance is None else by_distance.shape[-1], s, s * batch, length),
        *shape[:4],
        *(shape.both_ways, GATES.index(shape.gate), shape.forget, torch.get_num_threads(), 0),
        *map(address, (slope, by_projected, by_weights[2], by_weights[3], *by_weights[:2])),
    )


@lru_cache(maxsize=64)
def turns_by_position(length: int, size: int, lanes: int) -> Tensor:
    """What feature i and its neighbour are multiplied with to turn [t 2 size], size up to `lanes`.

    Cosines, and sines of which every first one is negative: of t 10000^(-2i/k), as the torch form
    has it. A last feature without a neighbour stays.
    """
    pairs = size // 2
    frequency = 10000.0 ** (-torch.arange(pairs) / max(pairs, 1))
    angle = torch.arange(length)[:, None] * frequency
    turns = torch.zeros(length, 2, -(-size // lanes) * lanes)
    turns[:, 0] = 1.0
    turns[:, 0, : 2 * pairs] = angle.cos().repeat_interleave(2, -1)
    turns[:, 1, 1 : 2 * pairs : 2] = angle.sin()
    turns[:, 1, 0 : 2 * pairs : 2] = -angle.sin()
    return turns
