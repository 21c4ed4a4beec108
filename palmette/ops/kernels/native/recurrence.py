"""K1 in native code: the linear recurrence of the `lin` family, forward, backward and one token.

The function of `recurrence_chunked` in `palmette.ops.kernels.recurrence`, whose file has the
equation, from a state of zero. It goes through chunks of 16 tokens, or of 8 where the decays of
channels differ: a chunk's pairs of queries and writes are a small matrix under the decays between
them, and all else are products with the state, which stays in the cache (recurrence_chunk.h). The
pass backward keeps the state before every few chunks alone and computes the rest again. Where
nothing is erased and heads are at most 64 wide it goes token by token instead, with blocks of the
state in registers (recurrence_sweep.h).

A head's log decay may be anything down to -inf. A channel's is -20 at least: what is smaller keeps
e^-20 = 2e-9 of the state.

Heads are usually a view of memory [b t h .], and so are all results.
"""

from typing import Any, TypeGuard

import torch
from torch import Tensor

from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.recurrence_run import (
    LIBRARIES,
    check,
    room_for_gradients,
    room_for_outputs,
    run,
    segment,
)

__all__ = [
    "LIBRARIES",
    "backward_operator",
    "forward_operator",
    "recurrence",
    "recurrence_step",
    "step_operator",
]

_segment = segment


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
    o, states = room_for_outputs(k, v, log_decay, keep)
    run("forward", terms, scale, o=o, states=states)
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
    return room_for_outputs(k, v, log_decay, keep)


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
    wanted = room_for_outputs(k, v, log_decay, True)[1].shape
    if states.shape != wanted:
        raise ValueError(f"states are {list(states.shape)}; wanted {list(wanted)}: none were kept")
    gradients = room_for_gradients(*terms)
    whole: list[Tensor] = list(gradients)
    if bonus is not None:  # of each sequence first
        whole[6] = v.new_empty(*v.shape[:2], k.shape[-1])
    run("backward", terms, scale, d_o=d_o, states=states, gradients=whole)
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
    return room_for_gradients(q, k, v, log_decay, a, b, bonus, erase, write)


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
    run("step", terms, scale, o=o.unsqueeze(2), states=state.contiguous(), d_o=after)
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
