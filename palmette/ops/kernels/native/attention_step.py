"""Softmax attention for one token more, in one call: `attention_step.cpp`. Without a derivative."""

import torch
from torch import Tensor

from palmette.ops.kernels.native.attention import GATES, Shape, turns_by_position
from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.library import library

Kept = tuple[Tensor, Tensor, Tensor]


def attention_step(
    projected: Tensor,
    kept: Kept,
    position: int,
    shape: Shape,
    *,
    by_distance: Tensor | None = None,
    sink: Tensor | None = None,
    query_scale: Tensor | None = None,
    key_scale: Tensor | None = None,
) -> tuple[Tensor, Kept]:
    """What the heads of a token read, [b h k], and what is kept after it.

    `projected` [b e] and the weights are those of `attention`, with biases for more distances than
    there are tokens kept. `kept` are keys and values [b g n k] and, with forget gates, the log of
    what each head has kept of them [b h n] (else it stays as it is); it is left alone.

    Raises `NativeError` if the kernel cannot be built.
    """
    h, g, k = shape[:3]
    keys, values, shares = (x.contiguous() for x in kept)
    batch, n = keys.shape[0], keys.shape[2]
    assert projected.shape == (batch, shape.width), "projections do not go with what is kept"
    first = max(0, n + 1 - shape.window) if shape.window else 0
    m = n - first + 1
    out = projected.new_empty(batch, h, k)
    after = keys.new_empty(batch, g, m, k), values.new_empty(batch, g, m, k)
    after_shares = shares.new_empty(batch, h, m if shape.forget else 0)
    if projected.stride(1) != 1:
        projected = projected.contiguous()
    by_distance, sink, query_scale, key_scale = (
        None if x is None else x.contiguous() for x in (by_distance, sink, query_scale, key_scale)
    )
    kernel = library("attention_step")
    turn = 0
    if shape.rope:
        table = turns_by_position(1 << position.bit_length(), k, kernel.lanes())
        turn = address(table) + 4 * position * table.stride(0)
    call(
        kernel.attention_step,
        *(address(projected), projected.stride(0), 0),
        *(address(out), 0, 0, *map(address, (query_scale, key_scale, by_distance, sink))),
        *(0 if by_distance is None else by_distance.shape[-1], 1, batch, 1, h, g, k),
        *(0, False, GATES.index(shape.gate), shape.forget, torch.get_num_threads(), 0),
        *(0, 0, 0, 0, 0, 0),
        *(turn, *map(address, (keys, values, shares, *after, after_shares)), n, first),
    )
    return out, (*after, after_shares)
