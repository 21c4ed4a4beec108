"""A bounded state: `squash(old())`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term, soft_unit


@node
class Squash(Term):
    """The state through a function that bounds it.

    'tanh' and 'clip' (to -1 .. 1) bound each entry; 'unit' is S / sqrt(1 + |S|^2) with the norm of
    the whole matrix; 'softmax' makes each column weights over the keys.
    """

    sort = Sort.STATE

    state: Primitive = child(Sort.STATE, meaning="what is bounded")
    bound: str = knob(
        "tanh",
        "clip",
        "unit",
        "softmax",
        breaks={"clip": [Effect.TWICE_DIFFERENTIABLE]},
        meaning="the function",
    )

    def work(self, k: int, v: int) -> int:
        """A norm and a product for 'unit'."""
        return 2 * k * v * (self.bound == "unit")

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(Squashed, state=self.state.plan(place), bound=self.bound)


class Squashed(StateTerm):
    """f(S)."""

    def __init__(self, *, state: nn.Module, bound: str) -> None:
        super().__init__(states=[state], parts=[])
        self.bound = bound

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Entry by entry, over the keys, or as a whole."""
        below, _ = given
        state: Tensor = self.states[0](old, below[0])
        if self.bound == "tanh":
            return torch.tanh(state)
        if self.bound == "clip":
            return state.clamp(-1.0, 1.0)
        if self.bound == "softmax":
            return torch.softmax(state, -2)
        return soft_unit(state.flatten(-2)).view_as(state)
