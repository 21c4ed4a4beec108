"""The two-layer channel mixer: `mlp(ratio=4)`."""

from fractions import Fraction
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._activation import activate
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import Pointwise


@node
class Mlp(Primitive):
    """Two layers with a nonlinearity between them, on each token by itself: W2 f(W1 x).

    The feed-forward network of the Transformer (arXiv 1706.03762); 'relu2' is Primer's squared
    relu (arXiv 2109.08668). The hidden width is about ratio x width: sizing moves it a little.
    """

    sort = Sort.OPERATOR
    role = "channel mixer"
    odds: ClassVar[float] = 1.2

    ratio: Fraction = knob(
        Fraction(4),
        Fraction(1),
        Fraction(4, 3),
        Fraction(2),
        Fraction(8, 3),
        weights=(4, 1, 1, 3, 2),
        meaning="hidden width over width",
    )
    activation: str = knob(
        "gelu",
        "relu",
        "relu2",
        "silu",
        weights=(2, 1, 2, 1),
        breaks={"relu": [Effect.TWICE_DIFFERENTIABLE], "relu2": [Effect.TWICE_DIFFERENTIABLE]},
        meaning="between the layers",
    )
    bias: bool = knob(False, True, weights=(4, 1), meaning="whether both layers add a bias")

    def cost(self, place: Place, length: int) -> Cost:
        """Two matrices, and two vectors with a bias."""
        d, hidden = place.width, place.hidden_width(float(self.ratio))
        weights = 2 * d * hidden
        biases = d + hidden if self.bias else 0
        return Cost(parameters=weights + biases, flops_forward=2.0 * weights)

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            FeedForward,
            width=place.width,
            hidden=place.hidden_width(float(self.ratio)),
            activation=self.activation,
            bias=self.bias,
        )


class FeedForward(Pointwise):
    """Mixes the features of each token: down(activation(up(x)))."""

    def __init__(self, *, width: int, hidden: int, activation: str, bias: bool) -> None:
        super().__init__()
        self.activation = activation
        self.up = nn.Linear(width, hidden, bias=bias)
        self.down = nn.Linear(hidden, width, bias=bias)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Each token by itself."""
        return self.down(activate(self.up(x), self.activation))  # type: ignore[no-any-return]
