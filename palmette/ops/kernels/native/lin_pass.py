"""The stages of a layer of the `lin` family between its two projections, in native code.

From the projection of the input, whose first columns are the streams (queries, keys, values) and
the others gates, to what the output projection reads: short convolution, terms of the recurrence,
the recurrence, then norm, gate and skip. `palmette.ops._lin_module` has the meaning of every knob.

With s models at once the projection and all parameters begin with s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native import convolution
from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.lin_layout import NAMES, UPS, VECTORS, layout, turns
from palmette.ops.kernels.native.linear import linear_forward

Parameters = dict[str, Tensor | None]
product = linear_forward._init_fn


class Pass:
    """One pass over a projection [s b t m]: the tensors that its stages leave to one another.

    Without s in the parameters, as in those of one model, s is 1.
    """

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
        for i, name in enumerate(UPS):
            up = self.given[name]
            low = raised = None
            if up is not None:
                low = self.low(self.projected, i, up)
                if name == "decay_up" and self.layout.decays in ("vector_exp", "vector_sigmoid"):
                    low = low.tanh()
                raised = product(low, up)
            self.lows.append(low)
            self.raised.append(raised)

    def low(self, projected: Tensor, which: int, up: Tensor) -> Tensor:
        """The columns [s n r] of a projection or its gradient that one of `UPS` raises."""
        begin, end = self.layout.columns[4 + which : 6 + which]
        rows = projected.view(*up.shape[:-2], self.tokens, self.layout.total)
        return rows[..., begin:end]

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
        dstreams: Tensor | None = None,
        dprojected: Tensor | None = None,
        draised: Sequence[Tensor | None] = (None, None, None),
        gradients: Parameters | None = None,
    ) -> None:
        """Calls lin_terms.cpp, forward or backward."""
        table = self.terms_table(0, dstreams, dprojected, draised, gradients)
        call(getattr(library("lin_terms"), way), *table)

    def terms_table(
        self,
        first: int = 0,
        dstreams: Tensor | None = None,
        dprojected: Tensor | None = None,
        draised: Sequence[Tensor | None] = (None, None, None),
        gradients: Parameters | None = None,
    ) -> tuple[int, ...]:
        """terms_t of lin_terms.h, from position `first` on."""
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
        return (
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
            self.bonus(),
            *(None if x is None else x.transpose(1, 2) for x in (self.erase_rate, self.write_rate)),
            1.0,
        )

    def bonus(self) -> Tensor | None:
        """The bonus with its s."""
        bonus = self.given["bonus"]
        return bonus if bonus is None else bonus.view(self.models, *bonus.shape[-2:])

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
        """Calls lin_output.cpp, forward or backward."""
        table = self.output_table(o, y, dy, d_o, dstreams, dprojected, decho, gradients)
        call(getattr(library("lin_output"), way), *table)

    def output_table(
        self,
        o: Tensor,
        y: Tensor | None = None,
        dy: Tensor | None = None,
        d_o: Tensor | None = None,
        dstreams: Tensor | None = None,
        dprojected: Tensor | None = None,
        decho: Tensor | None = None,
        gradients: Parameters | None = None,
    ) -> tuple[int, ...]:
        """output_t of lin_output_forward.h; o and its gradient [n sub-step h v] in one piece."""
        f = self.layout
        wide = f.heads * (f.value + f.normalised)
        steps = o.numel() // (self.models * self.tokens * wide)
        last, values = 4 * (steps - 1) * wide, 4 * f.before_values
        gates, gate_row = self.columns(self.projected, 0)
        dgates, dgate_row = (0, 0) if dprojected is None else self.columns(dprojected, 0)
        dskip = dscale = 0
        if gradients is not None:
            dskip, dscale = address(gradients["skip"]), address(gradients["out_scale"])
        return (
            *(self.models, self.tokens, f.steps, f.heads, f.value, f.norm, f.gate_kind),
            *(f.normalised, f.positive, self.threads, o.data_ptr() + last),
            *(self.streams.data_ptr() + values, gates, address(self.echo)),
            *(address(self.given["skip"]), address(self.given["out_scale"]), address(y)),
            *(address(dy), 0 if d_o is None else d_o.data_ptr() + last),
            *(0 if dstreams is None else dstreams.data_ptr() + values, dgates, address(decho)),
            *(dskip, dscale, steps * wide, self.stream_row, gate_row, self.stream_row, dgate_row),
            *(0, 0),
        )
