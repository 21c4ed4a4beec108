"""Forgetting: `decay(old(), rate(form='slow'))`."""

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term


@node
class Decay(Term):
    """The state shrinks: Diag(g) S, with a rate g of the head or of each channel of the key."""

    sort = Sort.STATE

    state: Primitive = child(Sort.STATE, meaning="what shrinks")
    rate: Primitive = child(Sort.RATES, meaning="what is left of it")

    def work(self, k: int, v: int) -> int:
        """One product."""
        return k * v

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(Decayed, state=self.state.plan(place), rate=self.rate.plan(place))


class Decayed(StateTerm):
    """Diag(g) S."""

    def __init__(self, *, state: nn.Module, rate: nn.Module) -> None:
        super().__init__(states=[state], parts=[rate])

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Each row of the state by its rate."""
        below, (rate,) = given
        state: Tensor = self.states[0](old, below[0])
        decayed: Tensor = rate.unsqueeze(-1) * state
        return decayed
