"""Conditional memory by the last few tokens: `ngram()` is Engram."""

from fractions import Fraction
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._norm import RmsNorm, norm_cost
from palmette.ops._stream import State
from palmette.ops.kernels.convolution import convolution, convolution_step
from palmette.ops.kernels.lookup import hashed_rows, lookup, prime_sizes

TAPS = 4


@node
class Ngram(Primitive):
    """Tables that are looked up by hashed n-grams of token ids, gated by the context.

    Engram (Conditional Memory via Scalable Lookup, arXiv 2601.07372): for n = 2 .. `most` and each
    head the last n ids name a row of a table; the rows side by side are e. Then

        g = sigmoid(sign(s) sqrt|s|),   s = RMS(W_k e) . RMS(x) / sqrt(d)
        u = g W_v e,                    y = u + SiLU(conv(RMS(u)))

    with a depthwise convolution of 4 taps, `most` tokens apart. The tables of one n together have
    `width_ratio` of the width; each has `rows` times the vocabulary, up to the next prime that no
    other table has. With `fold` upper case is read as lower case and tabs and line ends as spaces,
    in bytes.

    As in the published demonstration but for the hash: its multipliers and primes are the same in
    every layer, and the id before the first token is one that no token has.
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    breaks = frozenset({Effect.TOKEN_FREE, Effect.FORKS})
    odds: ClassVar[float] = 0.3

    most: int = knob(3, 2, 4, weights=(3, 1, 1), meaning="the longest n-gram")
    heads: int = knob(8, 1, 2, 4, weights=(1, 1, 2, 2), meaning="tables for each n")
    rows: Fraction = knob(
        Fraction(5),
        Fraction(1, 2),
        Fraction(1),
        Fraction(2),
        weights=(1, 2, 3, 2),
        meaning="rows of a table over the vocabulary",
    )
    width_ratio: Fraction = knob(
        Fraction(1, 2), Fraction(1, 4), Fraction(1), meaning="what is read for each n over width"
    )
    fold: bool = knob(True, False, meaning="whether case and kinds of white space are ignored")

    def cost(self, place: Place, length: int) -> Cost:
        """Tables, two maps with biases, three norms, a gate and a convolution."""
        d, tables = place.width, self.heads * (self.most - 1)
        size = self._size(place)
        table = sum(sum(group) for group in self._sizes(place)) * size
        maps = 2 * tables * size * d
        norms = norm_cost("rms", d).times(3)
        own = Cost(
            parameters=table + maps + 2 * d + TAPS * d,
            flops_forward=2.0 * (maps + 2 * d + TAPS * d),
            state_bytes=4 * d * self.most * (TAPS - 1) + 8 * (self.most - 1),
            idle=table - tables * size,
        )
        return own + norms

    def plan(self, place: Place) -> Call:
        """The module at this width and vocabulary."""
        return call(
            HashedMemory,
            width=place.width,
            size=self._size(place),
            sizes=self._sizes(place),
            before=place.vocabulary,
            fold=self.fold,
        )

    def _size(self, place: Place) -> int:
        return max(1, round(place.width * self.width_ratio / self.heads))

    def _sizes(self, place: Place) -> tuple[tuple[int, ...], ...]:
        """Rows of the tables of each n: all primes, no two alike."""
        least = round(place.vocabulary * self.rows)
        primes = prime_sizes(least, self.heads * (self.most - 1))
        return tuple(
            primes[start : start + self.heads] for start in range(0, len(primes), self.heads)
        )


class HashedMemory(nn.Module):
    """What the last ids name in the tables, gated by the features, and mixed over a few tokens.

    sizes     rows of the tables, for each length of n-gram from 2 on
    size      features of a row
    before    the id of what stands before the first token
    """

    reads_ids = True

    def __init__(
        self, *, width: int, size: int, sizes: list[list[int]], before: int, fold: bool
    ) -> None:
        super().__init__()
        self.sizes, self.before, self.fold = sizes, before, fold
        self.most = len(sizes) + 1
        read = size * sum(len(group) for group in sizes)
        self.tables = nn.Parameter(torch.randn(sum(sum(group) for group in sizes), size) * 0.02)
        self.key = nn.Linear(read, width)
        self.value = nn.Linear(read, width)
        self.key_norm = RmsNorm(width=width)
        self.query_norm = RmsNorm(width=width)
        self.value_norm = RmsNorm(width=width)
        self.taps = nn.Parameter(torch.empty(width, TAPS).uniform_(-1.0, 1.0) * TAPS**-0.5)

    def forward(self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t d"]:
        """Reads ids up to each token; causal."""
        value = self._remembered(x, hashed_rows(self._folded(ids), self.sizes, self.before))
        return value + F.silu(convolution(self.value_norm(value), self.taps, dilation=self.most))

    def init_state(self, batch: int) -> State:
        """The ids before, [b most-1], and what the convolution still sees, [b past d]."""
        past = self.taps.new_zeros(batch, self.most * (TAPS - 1), self.taps.shape[0])
        return torch.full((batch, self.most - 1), self.before, device=past.device), past

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        last, past = state
        seen = torch.cat((last, self._folded(ids).unsqueeze(1)), 1)
        rows = hashed_rows(seen, self.sizes, self.before)[:, -1:]
        value = self._remembered(x.unsqueeze(1), rows).squeeze(1)
        y, past = convolution_step(self.value_norm(value), past, self.taps, dilation=self.most)
        return value + F.silu(y), (seen[:, 1:], past)

    def _folded(self, ids: Int[Tensor, "*bt"]) -> Int[Tensor, "*bt"]:
        """Ids of bytes with upper case as lower case, and tab and line ends as a space."""
        if not self.fold:
            return ids
        ids = torch.where((ids >= 65) & (ids <= 90), ids + 32, ids)
        return torch.where((ids == 9) | (ids == 10) | (ids == 13), 32, ids)

    def _remembered(
        self, x: Float[Tensor, "b t d"], rows: Int[Tensor, "b t tables"]
    ) -> Float[Tensor, "b t d"]:
        """g W_v e."""
        read = lookup(self.tables, rows, self.sizes)
        key, query = self.key_norm(self.key(read)), self.query_norm(x)
        score = torch.linalg.vecdot(key, query).unsqueeze(-1) * x.shape[-1] ** -0.5
        gate = torch.sigmoid(score.sign() * score.abs().clamp(min=1e-6).sqrt())
        return gate * self.value(read)  # type: ignore[no-any-return]
