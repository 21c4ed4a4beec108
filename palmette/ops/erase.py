"""Erasing what a key holds: `erase(old(), key(), rate())`."""

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term, pair, read


@node
class Erase(Term):
    """A share of what the key holds is removed: S - g k (S^T k)^T (arXiv 2102.11174).

    With `reflect` the share is 2 g, so that the state may also be mirrored (arXiv 2411.12537).
    """

    sort = Sort.STATE

    state: Primitive = child(Sort.STATE, meaning="what is erased from")
    key: Primitive = child(Sort.KEY, meaning="the direction that is erased")
    rate: Primitive = child(Sort.RATE, meaning="how much of it")
    reflect: bool = knob(False, True, weights=(3, 1), meaning="whether the rate reaches 2")

    def work(self, k: int, v: int) -> int:
        """One contraction, one outer product, the rate on the key."""
        return 2 * k * v + k

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(
            Erased,
            state=self.state.plan(place),
            key=self.key.plan(place),
            rate=self.rate.plan(place),
            reflect=self.reflect,
        )


class Erased(StateTerm):
    """(I - g k k^T) S, or (I - 2 g k k^T) S."""

    def __init__(self, *, state: nn.Module, key: nn.Module, rate: nn.Module, reflect: bool) -> None:
        super().__init__(states=[state], parts=[key, rate])
        self.most = 2.0 if reflect else 1.0

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Reads under the key, and takes that away from there."""
        below, (key, rate) = given
        state: Tensor = self.states[0](old, below[0])
        return state - pair(self.most * rate * key, read(state, key))
