"""The state as a tape: `roll(old())`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term


@node
class Roll(Term):
    """Every row moves on by one channel of the key, the last to the front.

    With a softmax key the state is then a tape, shifted as a Neural Turing Machine shifts its
    address (arXiv 1410.5401).
    """

    sort = Sort.STATE

    state: Primitive = child(Sort.STATE, meaning="what moves on")

    def work(self, k: int, v: int) -> int:
        """Nothing is multiplied."""
        return 0

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(Rolled, state=self.state.plan(place))


class Rolled(StateTerm):
    """P S, P being the cyclic shift."""

    def __init__(self, *, state: nn.Module) -> None:
        super().__init__(states=[state], parts=[])

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Row i becomes row i + 1."""
        below, _ = given
        return torch.roll(self.states[0](old, below[0]), 1, -2)
