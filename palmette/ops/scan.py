"""The diagonal scan: `scan(gates='selective', expand=2, bias=True, skip=True)` is Mamba.

Every channel keeps a share of what it held and adds its input, h_t = a_t h_{t-1} + x_t. HGRN,
Griffin's RG-LRU, Mamba's selective scan and S4D differ in what makes a and x.
"""

from fractions import Fraction
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._activation import activate
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._scan_gates import BLOCKS, STATES, kept_as, make_gates
from palmette.ops._stream import State
from palmette.ops.kernels.convolution import convolution, convolution_step


@node
class Scan(Primitive):
    """A diagonal linear recurrence, h_t = a_t h_{t-1} + x_t, between a convolution and a gate.

        u = f(conv(W_u x))        y = W_out (norm(read(h) + D u) * g(W_g x))

    `gates` 'hgrn' forgets by a gate of the token over a learned floor and takes in what it forgets
    (HGRN, arXiv 2311.04823, its real form); 'rglru' is Griffin's real-gated unit, whose gates are
    block-diagonal in 4 blocks (arXiv 2402.19427); 'selective' is Mamba's selective state space
    with 16 states a channel (arXiv 2312.00752), 'selective_4' with 4; 'constant' and 'constant_4'
    decay whatever the token is (S4D-Real, arXiv 2206.11893). Every decay is at most 1 and what is
    taken in is bounded by the input, so all combinations are stable.

    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> mamba = Scan(gates="selective", expand=Fraction(2), bias=True, skip=True)
    >>> cost = mamba.cost(place, length=128)
    >>> cost.parameters, cost.state_bytes
    (32640, 9728)
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    breaks = frozenset({Effect.FORKS})
    odds: ClassVar[float] = 0.8

    gates: str = knob(
        "hgrn",
        "rglru",
        "selective",
        "selective_4",
        "constant",
        "constant_4",
        weights=(3, 3, 2, 2, 1, 1),
        meaning="what makes the decay and the input, with how many states a channel",
    )
    expand: Fraction = knob(
        Fraction(1),
        Fraction(4, 3),
        Fraction(3, 2),
        Fraction(2),
        weights=(3, 1, 1, 2),
        meaning="channels over width",
    )
    conv: int = knob(4, 0, 2, 3, weights=(5, 2, 1, 1), meaning="taps of the short convolution")
    bias: bool = knob(False, True, weights=(2, 1), meaning="a bias after the convolution")
    activation: str = knob("silu", "identity", weights=(3, 1), meaning="f, after the convolution")
    skip: bool = knob(False, True, weights=(2, 1), meaning="adds D u, one D a channel")
    out_norm: str = knob("none", "rms", weights=(2, 1), meaning="on the output, before its gate")
    out_gate: str = knob(
        "silu", "gelu", "sigmoid", "none", weights=(3, 1, 1, 1), meaning="g, on the output"
    )

    def channels(self, place: Place) -> int:
        """The channels that scan; a multiple of the blocks where gates have blocks."""
        wanted = place.width * self.expand
        if self.gates == "rglru":
            return BLOCKS * max(1, round(wanted / BLOCKS))
        return max(1, round(wanted))

    def cost(self, place: Place, length: int) -> Cost:
        """Projections, taps, gates and a few passes over a state that does not grow."""
        inner, rank = self.channels(place), _rank(place)
        states = STATES.get(self.gates, 1)
        outputs = 2 + (self.out_gate != "none") + (self.gates == "hgrn")  # W_u, W_out, W_g, W_f
        matrices = place.width * inner * outputs + inner * self.conv
        vectors = inner * (self.bias + self.skip + (self.out_norm == "rms"))
        passes = 2  # the input, and the sum
        if self.gates == "hgrn":
            vectors += inner
        elif self.gates == "rglru":
            matrices += 2 * inner * inner // BLOCKS
            vectors += 3 * inner
            passes += 2
        elif self.gates.startswith("selective"):
            matrices += inner * (2 * rank + 2 * states)
            vectors += inner + inner * states
            passes += 2  # A dt and C . h
        else:
            vectors += inner + 2 * inner * states
            passes += 1  # C . h
        elementwise = self.skip + (self.out_gate != "none") + 2 * (self.out_norm == "rms")
        return Cost(
            parameters=matrices + vectors,
            flops_forward=2.0 * (matrices + inner * (states * passes + elementwise)),
            state_bytes=4 * inner * (states + max(self.conv - 1, 0)),
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            DiagonalScan,
            width=place.width,
            channels=self.channels(place),
            rank=_rank(place),
            gates=self.gates,
            conv=self.conv,
            bias=self.bias,
            activation=self.activation,
            skip=self.skip,
            out_norm=self.out_norm,
            out_gate=self.out_gate,
        )


def _rank(place: Place) -> int:
    """The rank of Mamba's dt: a sixteenth of the width, rounded up."""
    return -(-place.width // 16)


class DiagonalScan(nn.Module):
    """Projection, short convolution, diagonal scan, skip, norm, gate, output projection."""

    def __init__(
        self,
        *,
        width: int,
        channels: int,
        rank: int,
        gates: str,
        conv: int,
        bias: bool,
        activation: str,
        skip: bool,
        out_norm: str,
        out_gate: str,
    ) -> None:
        super().__init__()
        self.activation, self.out_gate = activation, out_gate
        self.widths = [
            channels,
            channels if out_gate != "none" else 0,
            channels if gates == "hgrn" else 0,
        ]
        self.project = nn.Linear(width, sum(self.widths), bias=False)
        self.taps = None
        if conv:
            self.taps = nn.Parameter(torch.empty(channels, conv).uniform_(-1, 1) * conv**-0.5)
        self.bias = kept_as(torch.zeros(channels)) if bias else None
        self.gates = make_gates(gates, channels, rank)
        self.skip = kept_as(torch.ones(channels)) if skip else None
        self.out_scale = kept_as(torch.ones(channels)) if out_norm == "rms" else None
        self.out = nn.Linear(channels, width, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over time; causal, with a state that does not grow."""
        u, gate, z = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            u = convolution(u, self.taps, self.bias)
        elif self.bias is not None:
            u = u + self.bias
        u = activate(u, self.activation)
        return self._output(self.gates(u, z), u, gate)

    def init_state(self, batch: int) -> State:
        """What the convolution still sees, [b past d], and the scan's state, [b d] or [b d n]."""
        past = 0 if self.taps is None else self.taps.shape[1] - 1
        seen = self.out.weight.new_zeros(batch, past, self.out.in_features)
        return seen, self.gates.init_state(batch)  # type: ignore[operator]

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        past, held = state
        u, gate, z = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            u, past = convolution_step(u, past, self.taps, self.bias)
        elif self.bias is not None:
            u = u + self.bias
        u = activate(u, self.activation)
        y, held = self.gates.step(u, z, held)  # type: ignore[operator]
        return self._output(y, u, gate), (past, held)

    def _output(
        self,
        y: Float[Tensor, "*bt m"],
        u: Float[Tensor, "*bt m"],
        gate: Float[Tensor, "*bt g"],
    ) -> Float[Tensor, "*bt d"]:
        """Skip, norm, gate and output projection."""
        if self.skip is not None:
            y = y + self.skip * u
        if self.out_scale is not None:
            power = torch.linalg.vecdot(y, y).unsqueeze(-1) / y.shape[-1]
            y = y * torch.rsqrt(power + 1e-5) * self.out_scale
        if self.out_gate != "none":
            y = y * activate(gate, self.out_gate)
        return self.out(y)  # type: ignore[no-any-return]
