"""A layer of the `lin` family between its two projections, in one native operator.

From the projection of the input, whose first columns are the streams (queries, keys, values) and
the others gates, to what the output projection reads: short convolution, terms of the recurrence,
the recurrence, then norm, gate and skip. `palmette.ops._lin_module` has the meaning of every knob.

The pass backward keeps the projection, the outputs of the recurrence and what the recurrence keeps
of its states; all else is computed again. With s models at once the projection and all parameters
begin with s.
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
from palmette.ops.kernels.native.lin_layout import NAMES, UPS, VECTORS, Layout, layout, turns
from palmette.ops.kernels.native.linear import NO_NORM, linear_backward, linear_forward

GROUP = 512
FIXED = ("retention",)
"""What no gradient is wanted of."""

Parameters = dict[str, Tensor | None]
product = linear_forward._init_fn
product_back = linear_backward._init_fn
recur = core.forward_operator._init_fn
recur_backward = core.backward_operator._init_fn
recur_step = core.step_operator._init_fn


class Pass:
    """One pass over a projection [s b t m]: the tensors that its stages leave to one another."""

    def __init__(
        self, projected: Tensor, given: Sequence[Tensor | None], knobs: Sequence[int]
    ) -> None:
        self.layout = layout(knobs)
        self.projected = projected.contiguous()
        self.models, self.batch, self.length, _ = projected.shape
        self.sequences = self.models * self.batch
        self.tokens = self.batch * self.length
        self.threads = torch.get_num_threads()
        self.given: Parameters = {
            name: None if x is None else x.contiguous()
            for name, x in zip(NAMES, given, strict=True)
        }

    def columns(self, x: Tensor, which: int) -> tuple[int, int]:
        """Address and row stride of the gate `which` in a projection, or in its gradient."""
        at = self.layout.columns
        if at[which] == at[which + 1]:
            return 0, 0
        return x.data_ptr() + 4 * at[which], self.layout.total

    def mix(self) -> None:
        """The streams: the projection's first columns, or what the convolution makes of them."""
        taps, bias = self.taps()
        self.streams, self.stream_row = self.projected, self.layout.total
        if taps is None:
            return
        self.stream_row = self.layout.channels
        self.streams = self.projected.new_empty(
            self.models, self.batch, self.length, self.stream_row
        )
        x = self.as_streams(self.projected)
        convolution.run_forward(x, taps, bias, self.streams, 1, bool(self.layout.silu))

    def taps(self) -> tuple[Tensor | None, Tensor | None]:
        """The convolution's weights; of one tap where there is a bias alone."""
        taps, bias = self.given["taps"], self.given["bias"]
        if taps is None and bias is not None:
            taps = bias.new_ones(*bias.shape, 1)
        return taps, bias

    def as_streams(self, x: Tensor) -> Tensor:
        """The columns of the streams of a projection [s b t m]."""
        return x[..., : self.layout.channels]

    def raise_gates(self) -> None:
        """The gates of channels, [s n m], from the low ranks they are projected to."""
        self.lows: list[Tensor | None] = []
        self.raised: list[Tensor | None] = []
        flat = self.projected.view(self.models, self.tokens, self.layout.total)
        for i, name in enumerate(UPS):
            up = self.given[name]
            low = raised = None
            if up is not None:
                begin, end = self.layout.columns[4 + i : 6 + i]
                low = flat[..., begin:end]
                if name == "decay_up" and self.layout.decays in ("vector_exp", "vector_sigmoid"):
                    low = low.tanh()
                raised = product(low, up)
            self.lows.append(low)
            self.raised.append(raised)

    def room_for_terms(self) -> None:
        """q, k, v, log decay, a, b [n sub-step h k], rates and the echo, as they are written."""
        f, rows = self.layout, self.sequences
        new = self.projected.new_empty
        time = self.length * f.steps
        q_rows = f.heads if self.given["correction"] is not None else f.key_heads
        self.q = new(rows, time, q_rows, f.key)
        self.k = new(rows, time, f.key_rows, f.key)
        self.v = self.log_decay = self.a = self.b = self.echo = None
        self.erase_rate = self.write_rate = None
        if not f.values_as_they_are:
            self.v = new(rows, time, f.heads, f.value + f.normalised)
        if f.decay:
            heads = f.key_heads if f.tied else f.heads
            self.log_decay = new(rows, time, heads, f.key if f.tied or f.decays_channels else 1)
        if f.writes_by_rate:
            self.write_rate = new(rows, time, f.heads, 1)
        if f.erases_by_rate:
            self.erase_rate = new(rows, time, f.heads, 1)
        elif f.erase:
            self.a = new(rows, time, f.heads, f.key)
        if f.b_rows:
            self.b = new(rows, time, f.b_rows, f.key)
        if self.given["echo"] is not None:
            self.echo = new(rows, self.length, f.heads)

    def terms(
        self,
        way: str,
        first: int = 0,
        dstreams: Tensor | None = None,
        dprojected: Tensor | None = None,
        draised: Sequence[Tensor | None] = (None, None, None),
        gradients: Parameters | None = None,
    ) -> None:
        """Calls lin_terms.cpp: forward from position `first` on, or backward."""
        f = self.layout
        cosine = sine = 0
        if f.rotary and f.key > 1:
            pairs = f.key // 2
            cosines, sines = turns(pairs, first + self.length)
            cosine, sine = (x.data_ptr() + 4 * first * pairs for x in (cosines, sines))
        inputs = [(self.streams.data_ptr(), self.stream_row)]
        inputs += [self.columns(self.projected, i) for i in (1, 2, 3)]
        inputs += [(0, 0) if x is None else (x.data_ptr(), x.shape[-1]) for x in self.raised]
        slopes: list[tuple[int, int]] = [(0, 0)] * 7
        if dprojected is not None and dstreams is not None:
            slopes = [(dstreams.data_ptr(), self.stream_row)]
            slopes += [self.columns(dprojected, i) for i in (1, 2, 3)]
            slopes += [(0, 0) if x is None else (x.data_ptr(), x.shape[-1]) for x in draised]
        vectors = [self.given[name] for name in VECTORS]
        found = [None] * len(VECTORS) if gradients is None else [gradients[n] for n in VECTORS]
        call(
            getattr(library("lin_terms"), way),
            *(self.models, self.tokens, self.length, f.steps, f.heads, f.key_heads, f.key, f.value),
            *(self.threads, f.feature, f.decay, f.write, f.erase, int(bool(cosine)), f.normalised),
            *(self.q.shape[2], f.key_rows, f.b_rows),
            *(x for x, _ in inputs),
            *(x for x, _ in slopes),
            *(row for _, row in inputs),
            *(row for _, row in slopes),
            *(cosine, sine, self.q.data_ptr(), self.k.data_ptr()),
            *map(address, (self.v, self.log_decay, self.a, self.b, self.echo)),
            *map(address, (self.erase_rate, self.write_rate)),
            *map(address, vectors),
            *map(address, found),
            *(0 if x is None else x.numel() // self.models for x in vectors),
            *(0, 0),
        )

    def of_recurrence(self) -> tuple[Any, ...]:
        """What the recurrence takes: terms [b h t k], the bonus [s h k], rates, and its scale."""
        f = self.layout
        if self.v is None:
            row = self.stream_row
            v = self.streams.as_strided(
                (self.sequences, f.heads, self.length, f.value),
                (self.length * row, f.value, row, 1),
                self.streams.storage_offset() + f.before_values,
            )
        else:
            v = self.v.transpose(1, 2)
        terms = (self.log_decay, self.a, self.b)
        return (
            self.q.transpose(1, 2),
            self.k.transpose(1, 2),
            v,
            *(None if x is None else x.transpose(1, 2) for x in terms),
            self.given["bonus"],
            *(None if x is None else x.transpose(1, 2) for x in (self.erase_rate, self.write_rate)),
            1.0,
        )

    def output(
        self,
        way: str,
        o: Tensor,
        y: Tensor | None = None,
        dy: Tensor | None = None,
        d_o: Tensor | None = None,
        dstreams: Tensor | None = None,
        dprojected: Tensor | None = None,
        decho: Tensor | None = None,
        gradients: Parameters | None = None,
    ) -> None:
        """Calls lin_output.cpp; o and its gradient [n sub-step h v] in one piece."""
        f = self.layout
        wide = f.heads * (f.value + f.normalised)
        steps = o.numel() // (self.models * self.tokens * wide)
        last, values = 4 * (steps - 1) * wide, 4 * f.before_values
        gates, gate_row = self.columns(self.projected, 0)
        dgates, dgate_row = (0, 0) if dprojected is None else self.columns(dprojected, 0)
        dskip = dscale = 0
        if gradients is not None:
            dskip, dscale = address(gradients["skip"]), address(gradients["out_scale"])
        call(
            getattr(library("lin_output"), way),
            *(self.models, self.tokens, f.steps, f.heads, f.value, f.norm, f.gate_kind),
            *(f.normalised, f.positive, self.threads, o.data_ptr() + last),
            *(self.streams.data_ptr() + values, gates, address(self.echo)),
            *(address(self.given["skip"]), address(self.given["out_scale"]), address(y)),
            *(address(dy), 0 if d_o is None else d_o.data_ptr() + last),
            *(0 if dstreams is None else dstreams.data_ptr() + values, dgates, address(decho)),
            *(dskip, dscale, steps * wide, self.stream_row, gate_row, self.stream_row, dgate_row),
            *(0, 0),
        )


def groups(projected: Tensor) -> list[tuple[slice, slice]]:
    """Models and sequences that are worked on at once: about GROUP tokens, or a whole sequence.

    So few that what the stages leave to one another stays in the cache. One group covers all if
    there are no more tokens than that.
    """
    models, batch, length = projected.shape[:3]
    sequences = max(1, GROUP // max(1, length))
    if sequences >= models * batch:
        return [(slice(0, models), slice(0, batch))]
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
    every, parameters, all_y = _with_models(projected, given, y)
    parts = []
    for models, sequences in groups(every):
        now = Pass(every[models, sequences], _of(parameters, models), knobs)
        now.mix()
        now.raise_gates()
        now.room_for_terms()
        now.terms("forward")
        o, states = recur(*now.of_recurrence(), keep)
        o = o.transpose(1, 2)
        now.output("forward", o, all_y[models, sequences])
        parts.append((o, states))
    if len(parts) == 1:
        return y, *parts[0]
    return y, torch.cat([o for o, _ in parts]), torch.cat([states for _, states in parts])


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
    gradients: Parameters = {
        name: None if x is None or name in FIXED else x.new_empty(x.shape)
        for name, x in zip(NAMES, given, strict=True)
    }
    every, parameters, all_dy, all_dprojected = _with_models(projected, given, dy, dprojected)
    totals = _with_models(projected, list(gradients.values()))[1]
    row = 0
    for models, sequences in groups(every):
        now = Pass(every[models, sequences], _of(parameters, models), knobs)
        rows = slice(row, row + now.sequences)
        row += now.sequences
        wanted = dict(zip(NAMES, _of(totals, models), strict=True))
        found = wanted
        if sequences.start:  # a model's gradients are those of all its groups, in order
            found = {name: None if x is None else torch.empty_like(x) for name, x in wanted.items()}
        _backward(
            now,
            all_dy[models, sequences],
            all_dprojected[models, sequences],
            o[rows],
            states[rows],
            found,
        )
        if sequences.start:
            for total, part in zip(wanted.values(), found.values(), strict=True):
                if total is not None and part is not None:
                    total += part
    return [dprojected, *(x for x in gradients.values() if x is not None)]


def _with_models(
    projected: Tensor, given: Sequence[Tensor | None], *others: Tensor
) -> tuple[Any, ...]:
    """All tensors with a first dimension s, the parameters as a list in the second place."""
    if projected.ndim == 4:
        return projected, list(given), *others
    parameters = [None if x is None else x.unsqueeze(0) for x in given]
    return projected.unsqueeze(0), parameters, *(x.unsqueeze(0) for x in others)


def _of(parameters: Sequence[Tensor | None], models: slice) -> list[Tensor | None]:
    return [None if x is None else x[models] for x in parameters]


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
        gradients["bonus"].copy_(slopes[6])
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
    flat = dprojected.view(now.models, now.tokens, now.layout.total)
    for i, (name, slope, low) in enumerate(zip(UPS, draised, now.lows, strict=True)):
        up = now.given[name]
        if slope is None or low is None or up is None:
            continue
        begin, end = now.layout.columns[4 + i : 6 + i]
        dlow, dup = product_back(slope, low, up, None, None, False, NO_NORM, 0.0)
        if name == "decay_up" and now.layout.decays in ("vector_exp", "vector_sigmoid"):
            dlow = torch.ops.aten.tanh_backward(dlow, low)
        flat[..., begin:end] = dlow
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
    _, parameters, row = _with_models(projected.unsqueeze(1), given, projected)
    now = Pass(row.unsqueeze(2), parameters, knobs)
    f = now.layout
    now.streams, now.stream_row = now.projected, f.total
    taps, bias = now.taps()
    if taps is not None:
        x = now.projected.view(-1, f.total)[:, : f.channels]
        past = x.new_empty(len(x), 0, f.channels) if window is None else window
        seen = convolution.convolution_step(
            x, past, taps[0], None if bias is None else bias[0], 1, bool(f.silu)
        )
        now.streams, now.stream_row = seen[0], f.channels
        window = None if window is None else seen[1]
    now.raise_gates()
    now.room_for_terms()
    now.terms("forward", first=position)
    given_to_all = now.of_recurrence()
    terms, bonus, rates = given_to_all[:6], given_to_all[6], given_to_all[7:9]
    for i in range(f.steps):
        at = slice(i, i + 1)
        of_terms, of_rates = (
            [None if x is None else x[:, :, at] for x in them] for them in (terms, rates)
        )
        o, state = recur_step(state, *of_terms, bonus, *of_rates, 1.0)
    y = projected.new_empty(len(projected), f.inner)
    now.output("forward", o, y)
    return y, window, state


def run_states(f: Layout, rows: int, length: int) -> int:
    """How many states of each head the recurrence keeps for the pass backward."""
    decay = None
    if f.decay:
        heads = f.key_heads if f.tied else f.heads
        channels = f.key if f.tied or f.decays_channels else 1
        decay = torch.empty(1, heads, length * f.steps, channels, device="meta")
    chunk, segment = core._segment(decay, f.key)
    return -(-length * f.steps // (chunk * segment)) - 1
