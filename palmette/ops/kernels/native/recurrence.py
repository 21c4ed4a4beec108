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

import struct
from collections.abc import Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library

LIBRARIES: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("recurrence", (("TOKENS", "16"),)),
    ("recurrence", (("TOKENS", "8"),)),
)
"""All libraries of this file, source and macros: the second is for decays of channels."""

NO_DECAY, HEAD_DECAY, CHANNEL_DECAY = range(3)
MOST_STATES = 16384  # numbers of all heads together that the cache holds

NONE = (None,) * 9
Size = int | torch.SymInt

Gradients = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def recurrence(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None = None,
    a: Tensor | None = None,
    b: Tensor | None = None,
    bonus: Tensor | None = None,
    *,
    erase: Tensor | None = None,
    write: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """The outputs [b h t v] of the recurrence from a state of zero.

    q, k, a, b [b h t k], log_decay [b h t k] or [b h t 1], v [b h t v], bonus [h k]. Batch and
    heads of all but v may be 1.

    `erase` and `write` [b h t 1] and `scale` are factors that need not be multiplied beforehand:
    the recurrence is that of a = -erase k (a and b are left out then), of write v and of scale q.
    The delta rule has erase = write = beta.

    Raises `ValueError` if shapes do not fit one another and `NativeError` if the kernel cannot be
    built.
    """
    given = [q, k, v, log_decay, a, b, bonus, erase, write]
    for i, x in enumerate(given):
        if x is not None and i != 6:
            given[i] = _for_all(x, v.shape[0])
    if bonus is not None:
        given[6] = bonus.unsqueeze(0)
    keep = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)
    o: Tensor = _forward(*given, scale, keep)[0]
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
    *,
    erase: Tensor | None = None,
    write: Tensor | None = None,
    scale: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """One token: its output [b h v] and the state [b h k v] after it; without derivative.

    q, k, a, b [b h k], log_decay [b h k] or [b h 1], v [b h v], bonus [h k], erase and write
    [b h 1]; otherwise as `recurrence`.
    """
    given = [q, k, v, log_decay, a, b, bonus, erase, write]
    for i, x in enumerate(given):
        if x is not None and i != 6:
            given[i] = _for_all(x, v.shape[0]).unsqueeze(2)
    if bonus is not None:
        given[6] = bonus.unsqueeze(0)
    o, after = step_operator(state, *given, scale)
    return o, after


def _for_all(x: Tensor, batch: int) -> Tensor:
    return x if x.shape[0] == batch else x.expand(batch, *x.shape[1:])


@torch.library.custom_op("palmette::recurrence", mutates_args=(), device_types="cpu")
def forward_operator(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    erase: Tensor | None,
    write: Tensor | None,
    scale: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    """The outputs, and the states that the pass backward needs [b h n k v], n = 0 unless `keep`.

    bonus [s h k] has one for each of s models, whose sequences follow one another in b.
    """
    terms = (q, k, v, log_decay, a, b, bonus, erase, write)
    check(*terms)
    o, states = _outputs(k, v, log_decay, keep)
    _run("forward", terms, scale, o=o, states=states)
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
    erase: Tensor | None,
    write: Tensor | None,
    scale: float,
    keep: bool,
) -> tuple[Tensor, Tensor]:
    check(q, k, v, log_decay, a, b, bonus, erase, write)
    return _outputs(k, v, log_decay, keep)


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
    erase: Tensor | None,
    write: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of q, k, v, log_decay, a, b, bonus, erase, write; empty where there is none."""
    terms = (q, k, v, log_decay, a, b, bonus, erase, write)
    check(*terms)
    wanted = _outputs(k, v, log_decay, True)[1].shape
    if states.shape != wanted:
        raise ValueError(f"states are {list(states.shape)}; wanted {list(wanted)}: none were kept")
    gradients = _gradients(*terms)
    whole: list[Tensor] = list(gradients)
    if bonus is not None:  # of each sequence first
        whole[6] = v.new_empty(*v.shape[:2], k.shape[-1])
    _run("backward", terms, scale, d_o=d_o, states=states, gradients=whole)
    if bonus is not None:
        of_models = whole[6].view(bonus.shape[0], -1, *bonus.shape[1:])
        torch.sum(of_models, 1, out=gradients[6])
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
    erase: Tensor | None,
    write: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _gradients(q, k, v, log_decay, a, b, bonus, erase, write)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs[:9], output[1])
    ctx.scale = inputs[9]
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, d_o: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    *terms, states = ctx.saved_tensors
    if d_o is None:
        return (None,) * 11
    found = _backward(d_o, states, *terms, ctx.scale)
    return *(None if x is None else d for x, d in zip(terms, found, strict=True)), None, None


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@torch.library.custom_op("palmette::recurrence_step", mutates_args=(), device_types="cpu")
def step_operator(
    state: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    erase: Tensor | None,
    write: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    """The output [b h v] and the state after; time is 1 in all but the state."""
    terms = (q, k, v, log_decay, a, b, bonus, erase, write)
    check(*terms)
    o, after = _after(v, state)
    _run("step", terms, scale, o=o.unsqueeze(2), states=state.contiguous(), d_o=after)
    return o, after


@step_operator.register_fake
def _(
    state: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    log_decay: Tensor | None,
    a: Tensor | None,
    b: Tensor | None,
    bonus: Tensor | None,
    erase: Tensor | None,
    write: Tensor | None,
    scale: float,
) -> tuple[Tensor, Tensor]:
    check(q, k, v, log_decay, a, b, bonus, erase, write)
    return _after(v, state)


def _after(v: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    return v.new_empty(v.shape[0], v.shape[1], v.shape[3]), v.new_empty(state.shape)


def _vmap(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
    return _over_models(forward_operator, info.batch_size, in_dims, inputs)


def _vmap_backward(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
    return _over_models(backward_operator, info.batch_size, in_dims, inputs)


def _vmap_step(info: Any, in_dims: tuple[int | None, ...], *inputs: Any) -> tuple[Any, Any]:
    return _over_models(step_operator, info.batch_size, in_dims, inputs)


def _over_models(
    operator: Any, models: int, in_dims: tuple[int | None, ...], inputs: tuple[Any, ...]
) -> tuple[Any, Any]:
    """The operator once, with the models of vmap as the outer part of each first dimension."""
    folded: list[Any] = []
    for x, dimension in zip(inputs, in_dims, strict=True):
        if _is(x):
            apart = x.expand(models, *x.shape) if dimension is None else x.movedim(dimension, 0)
            x = apart.flatten(0, 1)
        folded.append(x)
    if operator is forward_operator:  # what vmap wraps may not say that it is differentiated
        folded[-1] |= torch.is_grad_enabled() and any(x.requires_grad for x in folded if _is(x))
    results = []
    for result in operator(*folded):
        size = result.shape[0] // models
        results.append(result.reshape(models, size, *result.shape[1:]))
    return tuple(results), (0,) * len(results)


def _is(x: object) -> TypeGuard[Tensor]:
    return isinstance(x, Tensor)


forward_operator.register_vmap(_vmap)
backward_operator.register_vmap(_vmap_backward)
step_operator.register_vmap(_vmap_step)


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


def _segment(log_decay: Tensor | None, key_size: Size) -> tuple[int, int]:
    """Tokens of a chunk, and chunks between two states that are kept."""
    if _kind(log_decay) == CHANNEL_DECAY:
        return 8, 4
    return 16, 2 if key_size < 64 else 4


def _outputs(k: Tensor, v: Tensor, log_decay: Tensor | None, keep: bool) -> tuple[Tensor, Tensor]:
    chunk, segment = _segment(log_decay, k.shape[-1])
    batch, heads, length, value_size = v.shape
    kept = max(0, -(-length // (chunk * segment)) - 1) if keep else 0
    return _like(v), v.new_empty(batch, heads, kept, k.shape[-1], value_size)


def _gradients(
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


def _run(
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
        _segment(log_decay, key_size)[1],
        threads,
        struct.unpack("q", struct.pack("d", scale))[0],
        *tensors,
    )
