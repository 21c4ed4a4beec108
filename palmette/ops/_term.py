"""What the terms of a `rule` have in common, and the functions they share.

A term is a node of the language like any other, but its module has no weights: it computes from
what the rule around it has projected the token to. Terms from the token (keys, values, rates) are
computed for all tokens at once; terms of the state once a token, in order.
"""

from abc import abstractmethod
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._base import Cost, Place, Primitive

Streams: TypeAlias = dict[str, Tensor]
"""What the token was projected to, by name: keys [b h t k], values [b h t v], rates [b h t 1]."""

Given: TypeAlias = Any
"""What a state term needs of one token, or of all: tensors in tuples nested as the terms are."""


class Term(Primitive):
    """A part of a `rule`'s expression."""

    role = "term of a rule"

    @property
    def stream(self) -> str | None:
        """The name of the projection that this term reads, if it reads one."""
        return None

    @abstractmethod
    def work(self, k: int, v: int) -> int:
        """Multiply-adds for each head and token, this term alone."""

    def cost(self, place: Place, length: int) -> Cost:
        """Nothing: the rule around it counts, since it knows the sizes of keys and values."""
        return Cost()


class StateTerm(nn.Module):
    """The module of a state term: the state terms below it, and its terms from the token.

    Its forward takes the state before the token, [b h k v], and what `given` has of that token.
    """

    def __init__(self, *, states: list[nn.Module], parts: list[nn.Module]) -> None:
        super().__init__()
        self.states = nn.ModuleList(states)
        self.parts = nn.ModuleList(parts)

    def given(self, streams: Streams) -> Given:
        """The terms from the token, for all tokens: those of the terms below, then its own."""
        below = tuple(state.given(streams) for state in self.states)  # type: ignore[operator]
        return below, tuple(part(streams) for part in self.parts)


def by_token(given: Given, length: int) -> list[Given]:
    """Tuples nested around tensors [b h t ...] as a list of such tuples, one for each token."""
    if isinstance(given, Tensor):
        return list(given.unbind(2))
    if not given:
        return [()] * length
    return list(zip(*(by_token(part, length) for part in given), strict=True))


def pair(key: Float[Tensor, "b h k"], value: Float[Tensor, "b h v"]) -> Float[Tensor, "b h k v"]:
    """The outer product k v^T."""
    return key.unsqueeze(-1) * value.unsqueeze(-2)


def read(state: Float[Tensor, "b h k v"], key: Float[Tensor, "b h k"]) -> Float[Tensor, "b h v"]:
    """S^T k: what the state holds under a key."""
    return (key.unsqueeze(-2) @ state).squeeze(-2)


def soft_unit(x: Float[Tensor, "b h m"]) -> Float[Tensor, "b h m"]:
    """x / sqrt(1 + |x|^2): shorter than 1, and nowhere steeper than 1."""
    return x * torch.rsqrt(1.0 + torch.linalg.vecdot(x, x).unsqueeze(-1))
