"""The token's pair alone: `outer(key(), value())`."""

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term, pair


@node
class Outer(Term):
    """The outer product k v^T, without anything of the old state."""

    sort = Sort.UPDATE

    key: Primitive = child(Sort.KEY, meaning="k")
    value: Primitive = child(Sort.VALUE, meaning="v")

    def work(self, k: int, v: int) -> int:
        """One product."""
        return k * v

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(OuterProduct, key=self.key.plan(place), value=self.value.plan(place))


class OuterProduct(StateTerm):
    """k v^T."""

    def __init__(self, *, key: nn.Module, value: nn.Module) -> None:
        super().__init__(states=[], parts=[key, value])

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Whatever the state was."""
        _, (key, value) = given
        return pair(key, value)
