"""The passes of a layer of the `lin` family: forward, backward, and through one token.

The pass backward keeps the projection, the outputs of the recurrence and what the recurrence keeps
of its states; all else is computed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native import convolution
from palmette.ops.kernels.native import recurrence as core
from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.lin_layout import NAMES, UPS, Layout, layout
from palmette.ops.kernels.native.lin_pass import Parameters, Pass
from palmette.ops.kernels.native.linear import NO_NORM, linear_backward

GROUP = 512
FIXED = ("retention",)
"""What no gradient is wanted of."""

Group = tuple[slice, slice] | None
product_back = linear_backward._init_fn
recur = core.forward_operator._init_fn
recur_backward = core.backward_operator._init_fn


def groups(projected: Tensor) -> Sequence[Group]:
    """Models and sequences that are worked on at once: about GROUP tokens, or a whole sequence.

    So few that what the stages leave to one another stays in the cache. If there are no more tokens
    than that, all are one group, None.
    """
    models, batch, length = projected.shape[:3]
    sequences = max(1, GROUP // max(1, length))
    if sequences >= models * batch:
        return (None,)
    if sequences >= batch:
        at_once = sequences // batch
        return [(slice(i, i + at_once), slice(0, batch)) for i in range(0, models, at_once)]
    return [
        (slice(model, model + 1), slice(i, i + sequences))
        for model in range(models)
        for i in range(0, batch, sequences)
    ]


def run_forward(
    projected: Tensor, given: Sequence[Tensor | None], knobs: Sequence[int], keep: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """y [.. b t inner], the outputs of the recurrence [b sub-step h v], and the states it keeps."""
    y = projected.new_empty(*projected.shape[:-1], layout(knobs).inner)
    all_groups, row = groups(_of_models(projected)), 0
    whole: tuple[Tensor, Tensor] | None = None
    for group in all_groups:
        now = Pass(_in(projected, group), _of(given, projected, group), knobs)
        now.mix()
        now.raise_gates()
        now.room_for_terms()
        now.terms("forward")
        o, states = recur(*now.of_recurrence(), keep)
        o = o.transpose(1, 2)
        now.output("forward", o, _in(y, group))
        if group is None:
            return y, o, states
        if whole is None:
            sequences = y.numel() // (y.shape[-1] * y.shape[-2])
            whole = o.new_empty(sequences, *o.shape[1:]), o.new_empty(sequences, *states.shape[1:])
        for total, part in zip(whole, (o, states), strict=True):
            total[row : row + now.sequences] = part
        row += now.sequences
    assert whole is not None, "there is at least one group"
    return y, *whole


def run_backward(
    dy: Tensor,
    projected: Tensor,
    o: Tensor,
    states: Tensor,
    given: Sequence[Tensor | None],
    knobs: Sequence[int],
) -> list[Tensor]:
    """The gradients of the projection and of the parameters that are there and learned."""
    dprojected = torch.empty_like(projected, memory_format=torch.contiguous_format)
    totals = [
        None if x is None or name in FIXED else x.new_empty(x.shape)
        for name, x in zip(NAMES, given, strict=True)
    ]
    row = 0
    for group in groups(_of_models(projected)):
        now = Pass(_in(projected, group), _of(given, projected, group), knobs)
        rows = slice(row, row + now.sequences)
        row += now.sequences
        wanted = found = _of(totals, projected, group)
        later = group is not None and group[1].start > 0
        if later:  # a model's gradients are those of all its groups, in order
            found = [None if x is None else torch.empty_like(x) for x in wanted]
        _backward(
            now,
            _in(dy, group),
            _in(dprojected, group),
            o if group is None else o[rows],
            states if group is None else states[rows],
            dict(zip(NAMES, found, strict=True)),
        )
        if later:
            for total, part in zip(wanted, found, strict=True):
                if total is not None and part is not None:
                    total += part
    return [dprojected, *(x for x in totals if x is not None)]


def _of_models(x: Tensor) -> Tensor:
    """x [s b t m], from that or from [b t m]."""
    return x if x.ndim == 4 else x.unsqueeze(0)


def _in(x: Tensor, group: Group) -> Tensor:
    """What a group has of x, [s b t m]."""
    return _of_models(x) if group is None else _of_models(x)[group]


def _of(
    parameters: Sequence[Tensor | None], projected: Tensor, group: Group
) -> Sequence[Tensor | None]:
    """What the models of a group have of the parameters; all of those of one model."""
    if group is None or projected.ndim == 3:
        return parameters
    return [None if x is None else x[group[0]] for x in parameters]


def _backward(
    now: Pass,
    dy: Tensor,
    dprojected: Tensor,
    o: Tensor,
    states: Tensor,
    gradients: Parameters,
) -> None:
    now.mix()
    now.raise_gates()
    now.room_for_terms()
    now.terms("forward")
    dstreams = dprojected
    if now.streams is not now.projected:
        dstreams = torch.empty_like(now.streams)
    d_o = torch.empty_like(o) if now.layout.steps == 1 else torch.zeros_like(o)
    decho = None if now.echo is None else torch.empty_like(now.echo)
    now.output(
        "backward",
        o,
        dy=dy.contiguous(),
        d_o=d_o,
        dstreams=dstreams,
        dprojected=dprojected,
        decho=decho,
        gradients=gradients,
    )
    slopes = recur_backward(d_o.transpose(1, 2), states, *now.of_recurrence())
    now.q, now.k, now.v = (x.transpose(1, 2).contiguous() for x in slopes[:3])
    now.log_decay, now.a, now.b, now.erase_rate, now.write_rate = (
        x.transpose(1, 2).contiguous() if x.numel() else None for x in (*slopes[3:6], *slopes[7:])
    )
    now.echo = decho
    if gradients["bonus"] is not None:
        gradients["bonus"].copy_(slopes[6].view_as(gradients["bonus"]))
    draised = [None if x is None else torch.empty_like(x) for x in now.raised]
    now.terms(
        "backward",
        dstreams=dstreams,
        dprojected=dprojected,
        draised=draised,
        gradients=gradients,
    )
    _lower_gates(now, draised, dprojected, gradients)
    if dstreams is not dprojected:
        _mix_back(now, dstreams, dprojected, gradients)


def _lower_gates(
    now: Pass, draised: Sequence[Tensor | None], dprojected: Tensor, gradients: Parameters
) -> None:
    for i, (name, slope, low) in enumerate(zip(UPS, draised, now.lows, strict=True)):
        up = now.given[name]
        if slope is None or low is None or up is None:
            continue
        dlow, dup = product_back(slope, low, up, None, None, False, NO_NORM, 0.0)
        if name == "decay_up" and now.layout.decays in ("vector_exp", "vector_sigmoid"):
            dlow = torch.ops.aten.tanh_backward(dlow, low)
        now.low(dprojected, i, up).copy_(dlow)
        total = gradients[name]
        assert total is not None
        total.copy_(dup)


def _mix_back(now: Pass, dstreams: Tensor, dprojected: Tensor, gradients: Parameters) -> None:
    taps, bias = now.taps()
    assert taps is not None
    dtaps = torch.empty_like(taps) if gradients["taps"] is None else gradients["taps"]
    convolution.run_backward(
        dstreams,
        now.as_streams(now.projected),
        taps,
        bias,
        now.as_streams(dprojected),
        dtaps,
        dtaps if gradients["bias"] is None else gradients["bias"],
        1,
        bool(now.layout.silu),
    )


def run_step(
    projected: Tensor,
    window: Tensor | None,
    position: int,
    state: Tensor,
    given: Sequence[Tensor | None],
    knobs: Sequence[int],
) -> tuple[Tensor, Tensor | None, Tensor]:
    """One token [b m]: y [b inner], and window and state after it; what is given is left alone."""
    batch = len(projected)
    now = Pass(projected.view(1, batch, 1, -1), given, knobs)
    f, new = now.layout, projected.new_empty
    now.streams, now.stream_row = now.projected, f.total
    taps, bias = now.taps()
    seen: tuple[int, ...] = (0,) * 12
    after = None
    if taps is not None:
        now.streams, now.stream_row = new(batch, f.channels), f.channels
        past = None if window is None else window.contiguous()
        after = None if past is None else torch.empty_like(past)
        seen = (batch, f.channels, taps.shape[-1], 1, f.silu)
        seen += tuple(map(address, (now.projected, past, taps, bias, now.streams, after)))
        seen += (f.total,)
    now.raise_gates()
    now.room_for_terms()
    state = state.contiguous()
    o, kept, y = new(batch, 1, *state.shape[1::2]), torch.empty_like(state), new(batch, f.inner)
    call(
        library("lin_step").step,
        *now.terms_table(position),
        *now.output_table(o, y),
        *seen,
        *map(address, (state, kept, o, now.given["bonus"])),
    )
    return y, after, kept


def run_states(f: Layout, length: Any) -> Any:
    """How many states of each head the recurrence keeps for the pass backward; may be symbolic."""
    decay = None
    if f.decay:
        decay = torch.empty(1, 1, 1, f.key if f.tied or f.decays_channels else 1, device="meta")
    chunk, segment = core._segment(decay, f.key)
    return max(0, -(-length * f.steps // (chunk * segment)) - 1)
