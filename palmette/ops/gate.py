"""One operator multiplied by another: `gate(A, B)`."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Sort
from palmette.ops._activation import activate
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import State, advance, any_reads_ids, run


@node
class Gate(Primitive):
    """One operator gates another: A(x) * activation(B(x)), feature by feature.

    With 'identity' it is the multiplicative interaction of H3 (arXiv 2212.14052) and Hyena
    (arXiv 2302.10866), and then the order of the two carries no meaning.
    """

    sort = Sort.OPERATOR
    odds: ClassVar[float] = 0.3

    value: Primitive = child(Sort.OPERATOR, meaning="what is gated")
    by: Primitive = child(Sort.OPERATOR, meaning="what gates it")
    activation: str = knob(
        "sigmoid", "silu", "identity", weights=(2, 2, 1), meaning="on the gating operator"
    )

    @property
    def commutes(self) -> bool:
        """A plain product has no order."""
        return self.activation == "identity"

    def cost(self, place: Place, length: int) -> Cost:
        """Both operators and one product."""
        own = Cost(flops_forward=2.0 * place.width)
        return own + self.value.cost(place, length) + self.by.cost(place, length)

    def plan(self, place: Place) -> Call:
        """Both operators in one module."""
        value, by = self.value.plan(place), self.by.plan(place)
        return call(Gated, activation=self.activation, value=value, by=by)


class Gated(nn.Module):
    """Multiplies one operator's output with the activation of another's."""

    def __init__(self, *, activation: str, value: nn.Module, by: nn.Module) -> None:
        super().__init__()
        self.activation = activation
        self.value = value
        self.by = by
        self.reads_ids = any_reads_ids([value, by])

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Both read the same input."""
        return run(self.value, x, ids) * activate(run(self.by, x, ids), self.activation)

    def init_state(self, batch: int) -> State:
        """The states of the two."""
        return self.value.init_state(batch), self.by.init_state(batch)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token through both."""
        value, value_state = advance(self.value, x, state[0], ids)
        by, by_state = advance(self.by, x, state[1], ids)
        return value * activate(by, self.activation), (value_state, by_state)
