"""The product-key memory as a channel mixer: `pkm(heads=4, top=8)`."""

from fractions import Fraction
from math import sqrt
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._norm import make_norm, norm_cost
from palmette.ops._stream import Pointwise
from palmette.ops._topk import TIE


@node
class Pkm(Primitive):
    """A large memory of values, of which each token reads the few whose keys fit best.

    Product keys (Large Memory Layers with Product Keys, arXiv 1907.05242): a key of slot (i, j) is
    sub-key i of one set beside sub-key j of another, so that the best of n^2 slots are found among
    the best of n and n. Each head has a query of half the width and sub-keys of its own, all heads
    read one table of values, [n^2 d], weighted by the softmax over the `top` best slots.

    `ratio` is the number of slots over the width. Queries are normed token by token: a batch norm,
    as published, would let the sequences of a batch see each other. Of equal scores the later wins.
    """

    sort = Sort.OPERATOR
    role = "channel mixer"
    breaks = frozenset({Effect.TWICE_DIFFERENTIABLE})  # it jumps where the choice changes
    odds: ClassVar[float] = 0.3

    ratio: Fraction = knob(
        Fraction(4),
        Fraction(2),
        Fraction(8),
        Fraction(16),
        weights=(3, 1, 2, 1),
        meaning="slots over width",
    )
    heads: int = knob(4, 1, 2, 8, weights=(3, 1, 2, 1), meaning="queries of a token")
    top: int = knob(8, 4, 16, 32, weights=(3, 2, 2, 1), meaning="slots that a head reads")
    norm: str = knob("rms", "layer", weights=(3, 1), meaning="the norm of a query")

    def cost(self, place: Place, length: int) -> Cost:
        """Queries, sub-keys, all values; the work of sub-keys and of the slots that are read."""
        d, half, n, top = place.width, self._half(place), self._subkeys(place), self._top(place)
        query, keys, values = d * self.heads * 2 * half, self.heads * 2 * n * half, n * n * d
        read = self.heads * top * d
        norm = norm_cost(self.norm, 2 * half)
        return Cost(
            parameters=query + keys + values + norm.parameters,
            flops_forward=2.0 * (query + keys + read) + self.heads * norm.flops_forward,
            idle=max(0, values - read),
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        return call(
            ProductKeyMemory,
            width=place.width,
            heads=self.heads,
            half=self._half(place),
            subkeys=self._subkeys(place),
            top=self._top(place),
            norm=self.norm,
        )

    def _half(self, place: Place) -> int:
        return max(1, round(place.width / 4))

    def _subkeys(self, place: Place) -> int:
        return max(2, round(sqrt(place.hidden_width(float(self.ratio)))))

    def _top(self, place: Place) -> int:
        return min(self.top, self._subkeys(place))


class ProductKeyMemory(Pointwise):
    """Values, weighted by how well their two sub-keys fit the halves of a query."""

    def __init__(
        self, *, width: int, heads: int, half: int, subkeys: int, top: int, norm: str
    ) -> None:
        super().__init__()
        self.heads, self.half_size, self.top = heads, half, top
        self.query = nn.Linear(width, heads * 2 * half, bias=False)
        self.norm = make_norm(norm, 2 * half)
        bound = half**-0.5
        self.keys = nn.Parameter(torch.empty(heads, 2, subkeys, half).uniform_(-bound, bound))
        self.values = nn.Parameter(torch.randn(subkeys**2, width) * width**-0.5)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Each token by itself."""
        b, t, _ = x.shape
        q = self.norm(self.query(x).view(b, t, self.heads, 2 * self.half_size))
        q = q.view(b, t, self.heads, 2, self.half_size)
        scores = torch.einsum("bthsi,hsni->bthsn", q, self.keys)  # s: the two halves
        first, second = best(scores, self.top).unbind(3)
        of_first, of_second = scores.unbind(3)
        # Slot (i, j) of the best n^2 has i among the best n of the first half, j of the second.
        sums = of_first.gather(-1, first).unsqueeze(-1) + of_second.gather(-1, second).unsqueeze(-2)
        sums = sums.flatten(-2)
        chosen = best(sums, self.top)
        weights = torch.softmax(sums.gather(-1, chosen), -1)
        rows = first.gather(-1, chosen // self.top) * scores.shape[-1]
        rows = rows + second.gather(-1, chosen % self.top)
        return torch.einsum("bthk,bthkd->btd", weights, F.embedding(rows, self.values))


def best(scores: Float[Tensor, "*shape n"], count: int) -> Tensor:
    """The places of the highest scores in each row, best first; of equal scores the later.

    >>> best(torch.tensor([0.5, 0.7, 0.5]), 2)
    tensor([1, 2])
    """
    places = torch.arange(scores.shape[-1], device=scores.device)
    return (scores.detach() + TIE * places).topk(count, -1).indices
