"""Slot memory: `slots()` is gated slot attention, `slots(write='cumulative')` ABC.

Each head keeps m pairs of a key and a value. A token writes its own pair into all slots by m
weights, and reads by a softmax over the slots: attention over a memory that does not grow.
"""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._activation import activate
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import State
from palmette.ops.kernels.convolution import convolution, convolution_step
from palmette.ops.kernels.slots import slots_chunked, slots_step

STRONGEST = -5.0  # the log decay that the chunked form can hold
TAU = 8.0  # by which GSA divides the log of its forget gate


@node
class Slots(Primitive):
    """Attention over a fixed number of slots, each a key and a value that tokens write together.

        K_t = f_t K_{t-1} + w_t k_t^T,  V_t = f_t V_{t-1} + w_t v_t^T,  o_t = softmax(K_t q_t) V_t

    `write` 'gated' keeps f = sigmoid(z)^(1/8) of a slot and writes w = 1 - f (GSA, arXiv
    2409.07146). 'cumulative' makes each slot the mean of all tokens so far under weights e^z (ABC,
    arXiv 2110.02488). 'softmax' spreads one write over the slots, w = softmax(z) and f = 1 - w, so
    that a token that chooses a slot replaces what is there. What a slot holds is at most about as
    large as what was written.

    `out` 'silu_norm' is GSA's RMS norm over SiLU(o), 'norm' an RMS norm of each head, 'norm_gate'
    that under a swish gate, as in ABC's layer. A log decay stops at -5 a token.

    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> cost = Slots().cost(place, length=128)
    >>> cost.parameters, cost.state_bytes
    (20544, 8192)
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    breaks = frozenset({Effect.FORKS})
    odds: ClassVar[float] = 0.3

    heads: int = knob(4, 1, 2, 8, weights=(3, 1, 3, 1), meaning="heads; each has its slots")
    number: int = knob(16, 8, 32, 64, weights=(3, 1, 2, 1), meaning="slots a head")
    write: str = knob(
        "gated", "cumulative", "softmax", weights=(3, 1, 1), meaning="how a token is written"
    )
    conv: int = knob(0, 4, weights=(1, 1), meaning="taps of the short convolution of q, k and v")
    feature: str = knob("silu", "identity", weights=(2, 1), meaning="map of q, k and v")
    out: str = knob(
        "silu_norm",
        "norm",
        "norm_gate",
        "none",
        weights=(2, 1, 2, 1),
        meaning="norm and gate of the output",
    )

    def cost(self, place: Place, length: int) -> Cost:
        """Projections and three passes over a memory that does not grow."""
        size = max(1, round(place.width / self.heads))
        inner, slots = self.heads * size, self.heads * self.number
        matrices = place.width * (inner * (4 + (self.out == "norm_gate")) + slots)
        matrices += 3 * inner * self.conv
        scales = {"silu_norm": inner, "norm": size, "norm_gate": size, "none": 0}[self.out]
        memory = 2 * slots * size
        elementwise = inner * (2 * (self.out != "none") + (self.out == "norm_gate"))
        kept = memory + 3 * inner * max(self.conv - 1, 0) + slots * (self.write == "cumulative")
        return Cost(
            parameters=matrices + scales,
            flops_forward=2.0 * (matrices + 3 * memory + elementwise),
            state_bytes=4 * kept,
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            SlotMemory,
            width=place.width,
            heads=self.heads,
            size=max(1, round(place.width / self.heads)),
            slots=self.number,
            write=self.write,
            conv=self.conv,
            feature=self.feature,
            out=self.out,
        )


class SlotMemory(nn.Module):
    """Projections, short convolution, slots, norm and gate, output projection."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        size: int,
        slots: int,
        write: str,
        conv: int,
        feature: str,
        out: str,
    ) -> None:
        super().__init__()
        self.heads, self.size, self.slots = heads, size, slots
        self.write, self.feature, self.output = write, feature, out
        inner = heads * size
        self.widths = [3 * inner, heads * slots, inner if out == "norm_gate" else 0]
        self.project = nn.Linear(width, sum(self.widths), bias=False)
        self.taps = None
        if conv:
            self.taps = nn.Parameter(torch.empty(3 * inner, conv).uniform_(-1, 1) * conv**-0.5)
        self.scale = None
        if out != "none":
            self.scale = nn.Parameter(torch.ones(inner if out == "silu_norm" else size))
            self.scale.no_decay = True  # type: ignore[attr-defined]
        self.out = nn.Linear(inner, width, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over time; causal, with a memory that does not grow."""
        streams, z, gate = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            streams = convolution(streams, self.taps)
        q, k, v = (self._heads(part).transpose(1, 2) for part in self._features(streams))
        z = self._heads(z).transpose(1, 2)
        if self.write == "cumulative":
            total = z.logcumsumexp(2)
            before = torch.cat([total[:, :, :1], total[:, :, :-1]], 2)
            write, log_decay = cumulative_gates(z, total, before)
        else:
            write, log_decay = slot_gates(z, self.write)
        o, _ = slots_chunked(q, k, v, write, log_decay)
        return self._output(o.transpose(1, 2), gate)

    def init_state(self, batch: int) -> State:
        """What the convolution sees, the slots' keys and values, and the log of ABC's weights."""
        like = self.out.weight
        past = 0 if self.taps is None else self.taps.shape[1] - 1
        slots = like.new_zeros(batch, self.heads, self.slots, self.size)
        total: State = ()
        if self.write == "cumulative":
            total = like.new_full((batch, self.heads, self.slots), -torch.inf)
        return like.new_zeros(batch, past, self.widths[0]), (slots, slots), total

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        past, memory, total = state
        streams, z, gate = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            streams, past = convolution_step(streams, past, self.taps)
        q, k, v = (self._heads(part) for part in self._features(streams))
        z = self._heads(z)
        if self.write == "cumulative":
            before, total = total, torch.logaddexp(total, z)
            write, log_decay = cumulative_gates(z, total, before)
        else:
            write, log_decay = slot_gates(z, self.write)
        o, memory = slots_step(q, k, v, write, log_decay, memory)
        return self._output(o, gate), (past, memory, total)

    def _heads(self, x: Float[Tensor, "*bt m"]) -> Float[Tensor, "*bt h k"]:
        return x.reshape(*x.shape[:-1], self.heads, -1)

    def _features(self, streams: Float[Tensor, "*bt m"]) -> tuple[Tensor, Tensor, Tensor]:
        """q over the root of its size, k, and v."""
        q, k, v = activate(streams, self.feature).chunk(3, -1)
        return q * self.size**-0.5, k, v

    def _output(
        self, o: Float[Tensor, "*bt h k"], gate: Float[Tensor, "*bt g"]
    ) -> Float[Tensor, "*bt d"]:
        """Norm, gate and output projection."""
        if self.output == "silu_norm":
            o = F.silu(o).flatten(-2)
        if self.scale is not None:
            power = torch.linalg.vecdot(o, o).unsqueeze(-1) / o.shape[-1]
            o = o * torch.rsqrt(power + 1e-5) * self.scale
        o = o.flatten(len(gate.shape) - 1)
        if self.output == "norm_gate":
            o = o * F.silu(gate)
        return self.out(o)  # type: ignore[no-any-return]


def slot_gates(
    z: Float[Tensor, "*bht m"], write: str
) -> tuple[Float[Tensor, "*bht m"], Float[Tensor, "*bht m"]]:
    """How strongly each slot is written, and its log decay; 'gated' or 'softmax'."""
    if write == "gated":
        log_decay = (F.logsigmoid(z) / TAU).clamp(min=STRONGEST)
        return -torch.expm1(log_decay), log_decay
    assert write == "softmax", f"no write is called {write!r}"
    strength = torch.softmax(z, -1) * -math.expm1(STRONGEST)
    return strength, torch.log1p(-strength)


def cumulative_gates(
    z: Float[Tensor, "*bht m"], total: Float[Tensor, "*bht m"], before: Float[Tensor, "*bht m"]
) -> tuple[Float[Tensor, "*bht m"], Float[Tensor, "*bht m"]]:
    """ABC's: e^z over the sum of e^z so far, `total` being its log now and `before` before."""
    return (z - total).exp(), (before - total).clamp(min=STRONGEST)
