"""What one key holds, put under another: `move(old(), key(), key(of='b'))`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term, pair, read, soft_unit


@node
class Move(Term):
    """What one key holds, bounded, under another key and nothing else: k f(S^T l)^T.

    In a `blend` it copies within the memory, as a head of a Neural Turing Machine does
    (arXiv 1410.5401).
    """

    sort = Sort.STATE

    state: Primitive = child(Sort.STATE, meaning="what is read")
    to: Primitive = child(Sort.KEY, meaning="k, where it goes")
    source: Primitive = child(Sort.KEY, meaning="l, where it was")
    bound: str = knob("unit", "tanh", meaning="f, on what was read")

    def work(self, k: int, v: int) -> int:
        """One contraction, one outer product, perhaps a length."""
        return 2 * k * v + 2 * v * (self.bound == "unit")

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(
            Moved,
            state=self.state.plan(place),
            to=self.to.plan(place),
            source=self.source.plan(place),
            bound=self.bound,
        )


class Moved(StateTerm):
    """k f(S^T l)^T."""

    def __init__(self, *, state: nn.Module, to: nn.Module, source: nn.Module, bound: str) -> None:
        super().__init__(states=[state], parts=[to, source])
        self.bound = bound

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Reads under one key and writes under the other."""
        below, (to, source) = given
        held = read(self.states[0](old, below[0]), source)
        return pair(to, soft_unit(held) if self.bound == "unit" else torch.tanh(held))
