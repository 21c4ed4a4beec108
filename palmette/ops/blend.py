"""A convex combination of two states: `blend(old(), outer(key(), value()), rate())`."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Given, StateTerm, Term


@node
class Blend(Term):
    """A convex combination: g A + (1 - g) B, as in gated recurrent networks (arXiv 1406.1078)."""

    sort = Sort.UPDATE

    kept: Primitive = child(Sort.STATE, meaning="A, what the rate keeps")
    new: Primitive = child(Sort.UPDATE, meaning="B, what the rest of it takes")
    rate: Primitive = child(Sort.RATE, meaning="the share of A")

    def simplified(self) -> Primitive:
        """A blend of a term with itself is that term."""
        return self.new if self.kept == self.new else self

    def work(self, k: int, v: int) -> int:
        """One product with the difference of the two."""
        return k * v

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(
            Blended,
            kept=self.kept.plan(place),
            new=self.new.plan(place),
            rate=self.rate.plan(place),
        )


class Blended(StateTerm):
    """g A + (1 - g) B."""

    def __init__(self, *, kept: nn.Module, new: nn.Module, rate: nn.Module) -> None:
        super().__init__(states=[kept, new], parts=[rate])

    def forward(self, old: Float[Tensor, "b h k v"], given: Given) -> Float[Tensor, "b h k v"]:
        """Both are made from the same old state."""
        below, (rate,) = given
        kept, new = (term(old, mine) for term, mine in zip(self.states, below, strict=True))
        return torch.lerp(new, kept, rate.unsqueeze(-1))
