"""The short convolution as a token mixer: `conv(taps=3, activation='identity')` is LFM2's."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._activation import activate
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import State
from palmette.ops.kernels.convolution import convolution, convolution_step


@node
class Conv(Primitive):
    """A gated depthwise causal convolution: W_out(C * f(conv(B * u))), with B, C, u = W_in x.

    Each channel looks back over `taps` tokens, every `dilation`-th one. The gates make the filter
    depend on the input, as in H3 (arXiv 2212.14052) and in LFM2's short convolution blocks
    (arXiv 2511.23404). With gate 'input' there is B alone, with 'output' C alone; with 'none'
    there is no W_in either, and u = x.
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    breaks = frozenset({Effect.FORKS})

    taps: int = knob(4, 2, 3, 8, 16, weights=(4, 1, 2, 1, 1), meaning="taps of the filter")
    dilation: int = knob(1, 2, 4, weights=(4, 1, 1), meaning="tokens from tap to tap")
    activation: str = knob(
        "silu", "identity", "gelu", weights=(2, 2, 1), meaning="f, after the convolution"
    )
    gate: str = knob(
        "both", "input", "output", "none", weights=(4, 1, 1, 1), meaning="which gates there are"
    )
    bias: bool = knob(False, True, weights=(3, 1), meaning="a bias after the convolution")

    def cost(self, place: Place, length: int) -> Cost:
        """Projections, taps and gates; the state is the tokens that the filter still sees."""
        width, gates = place.width, _number_of_gates(self.gate)
        projections = width * width * (1 + (1 + gates if gates else 0))
        weights = projections + width * self.taps
        return Cost(
            parameters=weights + width * self.bias,
            flops_forward=2.0 * (weights + width * gates),
            state_bytes=4 * width * self.dilation * (self.taps - 1),
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            ShortConvolution,
            width=place.width,
            taps=self.taps,
            dilation=self.dilation,
            activation=self.activation,
            gate=self.gate,
            bias=self.bias,
        )


class ShortConvolution(nn.Module):
    """W_out(C * f(conv(B * u))), where the gates B and C, and W_in, are there as `gate` says."""

    def __init__(
        self, *, width: int, taps: int, dilation: int, activation: str, gate: str, bias: bool
    ) -> None:
        super().__init__()
        self.dilation, self.activation, self.gate = dilation, activation, gate
        self.gates = _number_of_gates(gate)
        if self.gates:
            self.project = nn.Linear(width, (1 + self.gates) * width, bias=False)
        self.taps = nn.Parameter(torch.empty(width, taps).uniform_(-1.0, 1.0) * taps**-0.5)
        self.bias = None
        if bias:
            self.bias = nn.Parameter(torch.zeros(width))
            self.bias.no_decay = True  # type: ignore[attr-defined]
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over the last few tokens; causal."""
        x, gates = self._gated(x)
        return self._output(convolution(x, self.taps, self.bias, self.dilation), gates)

    def init_state(self, batch: int) -> State:
        """The inputs of the filter that it still sees, [b past d]."""
        width, taps = self.taps.shape
        return self.taps.new_zeros(batch, self.dilation * (taps - 1), width)

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        x, gates = self._gated(x)
        y, state = convolution_step(x, state, self.taps, self.bias, self.dilation)
        return self._output(y, gates), state

    def _gated(
        self, x: Float[Tensor, "*bt d"]
    ) -> tuple[Float[Tensor, "*bt d"], list[Float[Tensor, "*bt d"]]]:
        """What the filter reads, and the gates."""
        gates: list[Tensor] = []
        if self.gates:
            x, *gates = self.project(x).chunk(1 + self.gates, -1)
        return (x * gates[0] if self.gate in ("both", "input") else x), gates

    def _output(
        self, y: Float[Tensor, "*bt d"], gates: list[Float[Tensor, "*bt d"]]
    ) -> Float[Tensor, "*bt d"]:
        y = activate(y, self.activation)
        if self.gate in ("both", "output"):
            y = y * gates[-1]
        return self.out(y)  # type: ignore[no-any-return]


def _number_of_gates(gate: str) -> int:
    if gate == "both":
        return 2
    return 0 if gate == "none" else 1
