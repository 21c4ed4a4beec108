"""K1 in native code: the linear recurrence of the `lin` family, forward, backward and one token.

The function of `recurrence_chunked` in `palmette.ops.kernels.recurrence`, whose file has the
equation, from a state of zero. It goes through chunks of 16 tokens, or of 8 where the decays of
channels differ: a chunk's pairs of queries and writes are a small matrix under the decays between
them, and all else are products with the state, which stays in the cache (recurrence_chunk.h). The
pass backward keeps the state before every few chunks alone and computes the rest again.

A head's log decay may be anything down to -inf. A channel's is -20 at least: what is smaller keeps
e^-20 = 2e-9 of the state.

Heads are usually a view of memory [b t h .], and so are all results.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.library import library

LIBRARIES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("recurrence", (("TOKENS", "16"),)),
    ("recurrence", (("TOKENS", "8"),)),
)
"""All libraries of this file: source and macros. The second is for decays of channels."""

NO_DECAY, HEAD_DECAY, CHANNEL_DECAY = range(3)
MOST_CHUNKS = 4  # between two states that are kept

Terms = tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]


def recurrence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None = None,
    a: Tensor | None = None,
    b: Tensor | None = None,
    bonus: Tensor | None = None,
) -> Tensor:
    """The outputs [b h t v] of the recurrence from a state of zero.

    q, k, a, b [b h t k], log_decay [b h t k] or [b h t 1], v [b h t v], bonus [h k]. Batch and
    heads of all but v may be 1. Raises `ValueError` if shapes do not fit one another and
    `NativeError` if the kernel cannot be built.
    """
    batch = v.shape[0]
    q, k = _for_all(q, batch), _for_all(k, batch)
    log_decay, a, b = (None if x is None else _for_all(x, batch) for x in (log_decay, a, b))
    if bonus is not None:
        bonus = bonus.unsqueeze(0)
    given = (q, k, v, log_decay, a, b, bonus)
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)
    o, _ = forward_operator(*given, keep)
    return o


def recurrence_step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Tensor,
    log_decay: Tensor | None = None,
    a: Tensor | None = None,
    b: Tensor | None = None,
    bonus: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One token: its output [b h v] and the state [b h k v] after it; without derivative.

    q, k, a, b [b h k], log_decay [b h k] or [b h 1], v [b h v], bonus [h k].
    """
    batch = v.shape[0]
    terms = [
        None if x is None else _for_all(x, batch).unsqueeze(2) for x in (q, k, log_decay, a, b)
    ]
    q_1, k_1, *others = terms
    assert q_1 is not None and k_1 is not None
    if bonus is not None:
        bonus = bonus.unsqueeze(0)
    return step_operator(q_1, k_1, v.unsqueeze(2), state, *others, bonus)


def _for_all(x: Tensor, batch: int) -> Tensor:
    return x if x.shape[0] == batch else x.expand(batch, -1, *x.shape[2:])


@torch.library.custom_op("palmette::recurrence", mutates_args=(), device_types="cpu")
def forward_operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """The outputs, and the states that the pass backward needs [b h n k v], n = 0 unless `keep`.

    bonus [s h k] has one for each of s models, whose sequences follow one another in b.
    """
    terms = (q, k, v, log_decay, a, b, bonus)
    check(*terms)
    o, states = _outputs(*terms, keep)
    terms = _in_rows(terms)
    _run("forward", terms, o=o, states=states)
    return o, states


@forward_operator.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    check(q, k, v, log_decay, a, b, bonus)
    return _outputs(q, k, v, log_decay, a, b, bonus, keep)


@torch.library.custom_op("palmette::recurrence_backward", mutates_args=(), device_types="cpu")
def backward_operator(
    d_o: Tensor,
    states: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v, log_decay, a, b and bonus; empty where there is none."""
    terms = (q, k, v, log_decay, a, b, bonus)
    check(*terms)
    gradients = _gradients(*terms)
    whole = gradients
    if bonus is not None:  # of each sequence, summed in the end
        whole = (*gradients[:6], v.new_empty(*v.shape[:2], k.shape[-1]))
    _run("backward", _in_rows(terms), gradients=whole, d_o=_row(d_o), states=states)
    if bonus is not None:
        torch.sum(whole[6].view(bonus.shape[0], -1, *bonus.shape[1:]), 1, out=gradients[6])
    return gradients


@backward_operator.register_fake
def _(
    d_o: Tensor,
    states: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _gradients(q, k, v, log_decay, a, b, bonus)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:7], output[1])
    ctx.set_materialize_grads(False)


def _differentiate(context: Any, d_o: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    *terms, states = context.saved_tensors
    if d_o is None:
        return (None,) * 8
    gradients = backward_operator(d_o, states, *terms)
    return *(None if x is None else d for x, d in zip(terms, gradients, strict=True)), None


forward_operator.register_autograd(_differentiate, setup_context=_keep)


@torch.library.custom_op("palmette::recurrence_step", mutates_args=(), device_types="cpu")
def step_operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """The output [b h v] and the state after; time is 1 in all but the state."""
    terms = (q, k, v, log_decay, a, b, bonus)
    check(*terms)
    o, after = _after(v, state)
    _run("step", _in_rows(terms), o=o.unsqueeze(2), states=state.contiguous(), d_o=after)
    return o, after


@step_operator.register_fake
def _(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
) -> tuple[Tensor, Tensor]:
    check(q, k, v, log_decay, a, b, bonus)
    return _after(v, state)


def _after(v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape[0], v.shape[1], v.shape[3]), v.new_empty(state.shape)


@forward_operator.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], *inputs: Any
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    *terms, keep = inputs
    given = _folded(info.batch_size, in_dims, terms)
    o, states = forward_operator(*given, keep)
    n = info.batch_size
    return (_unfolded(o, n), _unfolded(states, n)), (0, 0)


@backward_operator.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor | None
) -> tuple[tuple[Tensor, ...], tuple[int | None, ...]]:
    n = info.batch_size
    gradients = backward_operator(*_folded(n, in_dims, inputs))
    given = [x is not None for x in inputs[2:]]
    return (
        tuple(_unfolded(d, n) if is_given else d for d, is_given in zip(gradients, given)),
        tuple(0 if is_given else None for is_given in given),
    )


@step_operator.register_vmap
def _(
    info: Any, in_dims: tuple[int | None, ...], *inputs: Tensor | None
) -> tuple[tuple[Tensor, Tensor], tuple[int, int]]:
    o, after = step_operator(*_folded(info.batch_size, in_dims, inputs))
    return (_unfolded(o, info.batch_size), _unfolded(after, info.batch_size)), (0, 0)


def _folded(n: int, dimensions: tuple[int | None, ...], inputs: Any) -> list[Any]:
    """All inputs with the n of vmap as the outer part of their first dimension."""
    folded = []
    for x, dimension in zip(inputs, dimensions, strict=False):
        if isinstance(x, Tensor):
            apart = x.expand(n, *x.shape) if dimension is None else x.movedim(dimension, 0)
            x = apart.flatten(0, 1)
        folded.append(x)
    return folded


def _unfolded(x: Tensor, n: int) -> Tensor:
    return x.unflatten(0, (n, x.shape[0] // n))


def check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
) -> None:
    """Raises `ValueError` if shapes or types do not fit one another."""
    batch, heads, length, _ = v.shape
    size = k.shape[-1]
    for name, x in (("q", q), ("k", k), ("v", v), ("log_decay", log_decay), ("a", a), ("b", b)):
        if x is None:
            continue
        if x.dtype != torch.float32:
            raise ValueError(f"{name} is {x.dtype}; the native recurrence computes in float32")
        last = (v.shape[-1],) if name == "v" else (size, 1) if name == "log_decay" else (size,)
        if (
            x.ndim != 4
            or x.shape[0] != batch
            or x.shape[1] not in (1, heads)
            or x.shape[2] != length
            or x.shape[3] not in last
        ):
            raise ValueError(
                f"{name} is {list(x.shape)}; wanted [b, 1 or h, t, {' or '.join(map(str, last))}] "
                f"for v {list(v.shape)} and k {list(k.shape)}"
            )
    if b is not None and a is None:
        raise ValueError("b without a: there is nothing to erase")
    if bonus is not None and (
        bonus.ndim != 3 or bonus.shape[1:] != (heads, size) or batch % max(1, bonus.shape[0])
    ):
        raise ValueError(f"bonus is {list(bonus.shape)}; wanted [s, {heads}, {size}], s in b")


def _kind(log_decay: Tensor | None) -> int:
    if log_decay is None:
        return NO_DECAY
    return HEAD_DECAY if log_decay.shape[-1] == 1 else CHANNEL_DECAY


def _segment(log_decay: Tensor | None, size: int) -> tuple[int, int]:
    """Tokens of a chunk, and chunks between two states that are kept."""
    chunk = 8 if _kind(log_decay) == CHANNEL_DECAY else 16
    return chunk, max(1, min(MOST_CHUNKS, size // chunk))


def _outputs(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    chunk, segment = _segment(log_decay, k.shape[-1])
    kept = (v.shape[2] + chunk * segment - 1) // (chunk * segment) - 1 if keep else 0
    o = _heads_inside(v, v.shape[1])
    return o, v.new_empty(*v.shape[:2], kept, k.shape[-1], v.shape[-1])


def _gradients(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    d_q, d_k, d_v, d_log_decay, d_a, d_b = (
        v.new_empty(0) if x is None else _heads_inside(x, x.shape[1])
        for x in (q, k, v, log_decay, a, b)
    )
    d_bonus = v.new_empty(0) if bonus is None else v.new_empty(bonus.shape)
    return d_q, d_k, d_v, d_log_decay, d_a, d_b, d_bonus


def _heads_inside(x: Tensor, heads: int) -> Tensor:
    """Room like x [b h t .] in memory [b t h .]."""
    return x.new_empty(x.shape[0], x.shape[2], heads, x.shape[3]).transpose(1, 2)


def _row(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


def _in_rows(terms: Terms) -> Terms:
    """The terms, each with rows in one piece."""
    q, k, v, log_decay, a, b, bonus = (None if x is None else _row(x) for x in terms)
    assert q is not None and k is not None and v is not None
    return q, k, v, log_decay, a, b, bonus


def _run(
    name: str,
    terms: Terms,
    *,
    o: Tensor | None = None,
    states: Tensor | None = None,
    d_o: Tensor | None = None,
    gradients: tuple[Tensor, ...] = (),
) -> None:
    """Fills call_t of recurrence_chunk.h and calls the kernel."""
    q, k, v, log_decay, a, b, bonus = terms
    batch, heads, length, value_size = v.shape
    kind = _kind(log_decay)
    _, segment = _segment(log_decay, k.shape[-1])
    shared = heads > 1 and any(x is not None and x.shape[1] == 1 for x in (q, k, log_decay, a, b))
    table = [
        batch,
        heads,
        length,
        k.shape[-1],
        value_size,
        kind,
        0 if a is None else 1 if b is None else 2,
    ]
    table += [bonus is not None, 1 if bonus is None else bonus.shape[0], shared, segment]
    table.append(torch.get_num_threads())
    for x in (*terms, o, states, d_o, *gradients):
        if x is None or x.numel() == 0:
            table += (0, 0, 0, 0)
        elif x.ndim == 3:  # a bonus, or its gradients
            table += (x.data_ptr(), x.stride(0), x.stride(1), 0)
        else:
            table += (x.data_ptr(), x.stride(0), x.stride(1) if x.shape[1] > 1 else 0, x.stride(2))
    table += [0] * (12 + 4 * 17 - len(table))
    _, macros = LIBRARIES[kind == CHANNEL_DECAY]
    call(getattr(library("recurrence", *macros), f"recurrence_{name}"), *table)
