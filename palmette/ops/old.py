"""The state before the token: `old()`."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from palmette.grammar.node import node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, call
from palmette.ops._term import Given, StateTerm, Term


@node
class Old(Term):
    """The state that the token finds, S [k v] in each head."""

    sort = Sort.STATE
    odds: ClassVar[float] = 6.0  # it ends an expression

    def work(self, k: int, v: int) -> int:
        """None."""
        return 0

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(OldState)


class OldState(StateTerm):
    """S."""

    def __init__(self) -> None:
        super().__init__(states=[], parts=[])

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """As it is."""
        return old
