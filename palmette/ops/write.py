"""Writing a pair: `write(old(), key(), value(), rate())`."""

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, children, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term, pair


@node
class Write(Term):
    """The token's pair is added to the state: S + g k v^T (Hebb's rule; arXiv 2006.16236).

    Without a rate g is 1.
    """

    sort = Sort.UPDATE

    state: Primitive = child(Sort.STATE, meaning="what is added to")
    key: Primitive = child(Sort.KEY, meaning="where the value goes")
    value: Primitive = child(Sort.VALUE, meaning="what is written")
    rate: tuple[Primitive, ...] = children(
        Sort.RATE, least=0, most=1, meaning="how strongly, if not fully"
    )

    def work(self, k: int, v: int) -> int:
        """One outer product, and the rate on the key."""
        return k * v + k * len(self.rate)

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(
            Written,
            state=self.state.plan(place),
            key=self.key.plan(place),
            value=self.value.plan(place),
            rate=tuple(rate.plan(place) for rate in self.rate),
        )


class Written(StateTerm):
    """S + g k v^T, or S + k v^T."""

    def __init__(
        self, *, state: nn.Module, key: nn.Module, value: nn.Module, rate: list[nn.Module]
    ) -> None:
        super().__init__(states=[state], parts=[key, value, *rate])

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Adds the outer product."""
        below, (key, value, *rate) = given
        state: Tensor = self.states[0](old, below[0])
        return state + pair(rate[0] * key if rate else key, value)
