"""Calls of the native recurrence: which library, what fits what, room for results, the table.

What the kernel is called with is call_t of recurrence_chunk.h.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import call
from palmette.ops.kernels.native.library import library

LIBRARIES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("recurrence", (("TOKENS", "16"),)),
    ("recurrence", (("TOKENS", "8"),)),
)
"""All libraries of the recurrence, source and macros: the second is for decays of channels."""

NO_DECAY, HEAD_DECAY, CHANNEL_DECAY = range(3)
MOST_STATES = 16384  # numbers of all heads together that the cache holds
NONE = (None,) * 9
Size = int | torch.SymInt
Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    erase: Tensor | None,
    write: Tensor | None,
) -> None:
    """Raises `ValueError` if shapes or types do not fit one another."""
    batch, heads, length, value_size = v.shape
    key_size = k.shape[-1]
    sizes = (key_size, key_size, value_size, key_size, key_size, key_size, 1, 1)
    names = ("q", "k", "v", "log_decay", "a", "b", "erase", "write")
    terms = (q, k, v, log_decay, a, b, erase, write)
    for name, x, size in zip(names, terms, sizes, strict=True):
        if x is None:
            continue
        if x.dtype is not torch.float32:
            raise ValueError(f"{name} is {x.dtype}; the native recurrence computes in float32")
        shape = x.shape
        fits = len(shape) == 4 and shape[0] == batch and shape[2] == length
        if not (
            fits and shape[1] in (heads, 1) and shape[3] in (size, 1 if x is log_decay else size)
        ):
            last = f"{size} or 1" if x is log_decay else size
            raise ValueError(
                f"{name} is {list(shape)}; wanted [{batch}, {heads} or 1, {length}, {last}]"
            )
    if bonus is not None:
        if bonus.dtype is not torch.float32:
            raise ValueError(f"bonus is {bonus.dtype}; the native recurrence computes in float32")
        if bonus.ndim != 3 or bonus.shape[1:] != (heads, key_size) or batch % max(1, len(bonus)):
            raise ValueError(
                f"bonus is {list(bonus.shape)}; wanted [s, {heads}, {key_size}] with s in {batch}"
            )
    if b is not None and a is None:
        raise ValueError("b is given without a: nothing is to be erased")
    if a is not None and erase is not None:
        raise ValueError("a and erase are both given: erase is the a = -erase k")


def _kind(log_decay: Tensor | None) -> int:
    if log_decay is None:
        return NO_DECAY
    return HEAD_DECAY if log_decay.shape[-1] == 1 else CHANNEL_DECAY


def segment(log_decay: Tensor | None, key_size: Size) -> tuple[int, int]:
    """Tokens of a chunk, and chunks between two states that are kept."""
    if _kind(log_decay) == CHANNEL_DECAY:
        return 8, 4
    return 16, 2 if key_size < 64 else 4


def room_for_outputs(
    k: Tensor, v: Tensor, log_decay: Tensor | None, keep: bool
) -> tuple[Tensor, Tensor]:
    """The outputs [b h t v] and the states that are kept [b h n k v], not filled yet."""
    chunk, chunks = segment(log_decay, k.shape[-1])
    batch, heads, length, value_size = v.shape
    kept = max(0, -(-length // (chunk * chunks)) - 1) if keep else 0
    return _like(v), v.new_empty(batch, heads, kept, k.shape[-1], value_size)


def room_for_gradients(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    erase: Tensor | None,
    write: Tensor | None,
) -> Gradients:
    """The gradients, not filled yet; empty where there is none."""
    d_q, d_k, d_v, d_log_decay, d_a, d_b, d_erase, d_write = (
        v.new_empty(0) if x is None else _like(x) for x in (q, k, v, log_decay, a, b, erase, write)
    )
    d_bonus = v.new_empty(0 if bonus is None else bonus.shape)
    return d_q, d_k, d_v, d_log_decay, d_a, d_b, d_bonus, d_erase, d_write


def _like(x: Tensor) -> Tensor:
    """Room for x [b h t .] in memory [b t h .]."""
    _, heads, length, size = x.shape
    row = heads * size
    return x.new_empty_strided(x.shape, (length * row, size, row, 1))


def run(
    name: str,
    terms: tuple[Tensor | None, ...],
    scale: float,
    *,
    o: Tensor | None = None,
    states: Tensor,
    d_o: Tensor | None = None,
    gradients: Sequence[Tensor | None] = NONE,
) -> None:
    """Fills call_t of recurrence_chunk.h and calls the kernel."""
    _, k, v, log_decay, a, b, bonus, erase, _ = terms
    assert k is not None
    assert v is not None
    batch, heads, length, value_size = v.shape
    key_size = k.shape[3]
    kind = _kind(log_decay)
    erasure = 2 if b is not None else 1 if a is not None or erase is not None else 0
    threads = torch.get_num_threads()
    tensors: list[int] = []
    shared = False
    held = []  # as long as their addresses are in use
    for x in (*terms, o, states, d_o, *gradients):
        strides = () if x is None else x.stride()
        if x is None or len(strides) == 1:  # the empty gradient of what is not there
            tensors += (0, 0, 0, 0)
            continue
        if strides[-1] != 1 and x.shape[-1] != 1:
            x = x.contiguous()
            held.append(x)
            strides = x.stride()
        if len(strides) == 3:  # a bonus, or its gradients
            tensors += (x.data_ptr(), strides[0], strides[1], 0)
        elif heads == 1 or x.shape[1] != heads:
            shared |= heads != 1
            tensors += (x.data_ptr(), strides[0], 0, strides[2])
        else:
            tensors += (x.data_ptr(), *strides[:3])
    small = heads * key_size * value_size <= MOST_STATES and batch % threads == 0
    _, macros = LIBRARIES[kind == CHANNEL_DECAY]
    call(
        getattr(library("recurrence", *macros), f"recurrence_{name}"),
        *(batch, heads, length, key_size, value_size, kind, erasure, bonus is not None),
        1 if bonus is None else bonus.shape[0],
        # all heads of a sequence together where they share a gradient, or where their states fit
        # into the cache and there are sequences enough; else one at a time
        heads if shared or small else 1,
        segment(log_decay, key_size)[1],
        threads,
        struct.unpack("q", struct.pack("d", scale))[0],
        *tensors,
    )
