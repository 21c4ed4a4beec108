"""The gated channel mixer: `glu(ratio=8/3)`."""

from fractions import Fraction
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Sort
from palmette.ops._activation import activate
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import Pointwise


@node
class Glu(Primitive):
    """A gated linear unit on each token by itself: W3 (f(W1 x) * W2 x) (arXiv 2002.05202).

    With 'silu' it is SwiGLU, with 'gelu' GeGLU, with 'sigmoid' the first GLU (arXiv 1612.08083).
    At ratio 8/3 its three matrices are as large as the two of an `mlp` at 4.
    """

    sort = Sort.OPERATOR
    role = "channel mixer"
    odds: ClassVar[float] = 2.5

    ratio: Fraction = knob(
        Fraction(8, 3),
        Fraction(1),
        Fraction(4, 3),
        Fraction(2),
        Fraction(4),
        weights=(4, 1, 1, 2, 1),
        meaning="hidden width over width",
    )
    activation: str = knob("silu", "gelu", "sigmoid", weights=(3, 1, 1), meaning="on the gate")

    def cost(self, place: Place, length: int) -> Cost:
        """Three matrices and one product."""
        hidden = place.hidden_width(float(self.ratio))
        weights = 3 * place.width * hidden
        return Cost(parameters=weights, flops_forward=2.0 * (weights + hidden))

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            GatedFeedForward,
            width=place.width,
            hidden=place.hidden_width(float(self.ratio)),
            activation=self.activation,
        )


class GatedFeedForward(Pointwise):
    """Mixes the features of each token: down(activation(gate(x)) * up(x))."""

    def __init__(self, *, width: int, hidden: int, activation: str) -> None:
        super().__init__()
        self.activation = activation
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Each token by itself."""
        return self.down(activate(self.gate(x), self.activation) * self.up(x))  # type: ignore[no-any-return]
