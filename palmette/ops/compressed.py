"""Attention over a window and compressed memory: `compressed(pool=16)`, as in DeepSeek-V4.

    c_q = RMS(W_dq x)        q = RMS(W_uq c_q), by heads        kv = RMS(W_kv x), one for all heads
    o = attention(q, last tokens' kv ++ pooled entries)         keys are values, a sink each head
    y = W_o (W_g o, by groups of heads)

The technical report of DeepSeek-V4 (2026) has three kinds of layer, here three choices of knobs:

    sliding                      compressed(pool=0)
    heavily compressed (HCA)     compressed(pool=16)
    compressed sparse (CSA)      compressed(pool=4, overlap=True, top=8, selector='loss')

Queries, tokens and entries carry rotary positions on their last features; since keys are values,
the output is turned back by the query's position. The equations stand in
`kernels/pooled_attention.py`.
"""

from dataclasses import replace
from fractions import Fraction
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._auxiliary import attach
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._compressed_cost import compressed_cost
from palmette.ops._compressed_parts import Pool, Selector, divergence, turn_tail
from palmette.ops._norm import RmsNorm
from palmette.ops._stream import State
from palmette.ops.kernels.attention import softmax_attention
from palmette.ops.kernels.pooled_attention import (
    ended_pools,
    highest,
    shares_of_entries,
    window_and_entries,
)

_GROWS = (Effect.CONSTANT_STATE, Effect.LINEAR_TIME)


@node
class Compressed(Primitive):
    """Attention to the last tokens and to pooled entries of all before, as in DeepSeek-V4.

    One head of keys, which are also the values, serves all query heads. What is kept for a long
    text is one entry for every `pool` tokens, so the memory grows slowly.

    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> [Compressed(pool=pool).cost(place, 4096).state_bytes for pool in (0, 4, 16)]
    [1984, 67520, 18368]
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    odds: ClassVar[float] = 0.3
    breaks = frozenset({Effect.FORKS})

    heads: int = knob(4, 2, 8, weights=(4, 1, 2), meaning="query heads")
    expand: int = knob(1, 2, weights=(3, 1), meaning="features of all heads together over width")
    rank: Fraction = knob(
        Fraction(1, 2),
        Fraction(1, 4),
        Fraction(1),
        weights=(3, 1, 1),
        meaning="inner width of the query's map, and of the output's for each group, over width",
    )
    groups: int = knob(
        2, 0, 4, weights=(3, 1, 1), meaning="groups of heads with an inner width each; 0: one map"
    )
    window: int = knob(
        32, 16, 64, weights=(3, 1, 1), meaning="tokens that a query sees, its own included"
    )
    pool: int = knob(
        16,
        4,
        8,
        32,
        0,
        weights=(3, 3, 2, 1, 1),
        meaning="tokens that become one entry; 0 for no entries, the window alone",
        breaks={4: _GROWS, 8: _GROWS, 16: _GROWS, 32: _GROWS},
    )
    overlap: bool = knob(
        False, True, weights=(2, 1), meaning="entries that also read the pool before their own"
    )
    top: int = knob(
        0,
        4,
        8,
        16,
        weights=(3, 1, 1, 1),
        meaning="entries that a query attends to, chosen by scores; 0 for all",
        breaks={top: [Effect.TWICE_DIFFERENTIABLE] for top in (4, 8, 16)},
    )
    index_heads: int = knob(4, 8, weights=(2, 1), meaning="heads of those scores")
    selector: str = knob(
        "straight",
        "loss",
        weights=(1, 1),
        meaning="how the scores learn: from the model's loss, straight through the choice, or "
        "from a loss of their own (arXiv 2512.02556)",
        breaks={"loss": [Effect.LOSS_FREE]},
    )
    rotary: Fraction = knob(
        Fraction(1, 2), Fraction(1, 4), Fraction(1), meaning="share of each head that turns"
    )
    base: int = knob(10_000, 1_000, 160_000, weights=(3, 1, 1), meaning="of the rotations")

    def simplified(self) -> "Compressed":
        """Without entries nothing is pooled, without a choice nothing scored; no empty groups."""
        node = replace(self, groups=min(self.groups, self.heads))
        if not node.pool:
            node = replace(node, overlap=False, top=0)
        return node if node.top else replace(node, index_heads=4, selector="straight")

    def head_size(self, width: int) -> int:
        """Features of a head, 2 at least."""
        return max(2, round(width * self.expand / self.heads))

    def inner(self, width: int) -> int:
        """The inner width of the low-rank maps."""
        return max(1, round(width * self.rank))

    def turned(self, size: int) -> int:
        """How many of a head's features turn: an even number, 2 at least."""
        return max(1, int(size * self.rotary / 2)) * 2

    def cost(self, place: Place, length: int) -> Cost:
        """See `compressed_cost`."""
        size = self.head_size(place.width)
        return compressed_cost(
            width=place.width,
            length=length,
            heads=self.heads,
            size=size,
            rank=self.inner(place.width),
            groups=min(self.groups, self.heads),
            turned=self.turned(size),
            window=self.window,
            pool=self.pool,
            series=2 if self.overlap else 1,
            top=self.top,
            index_heads=self.index_heads,
            index_size=max(2, size // 2),
            index_turned=self.turned(max(2, size // 2)),
            aligned=self.selector == "loss",
        )

    def plan(self, place: Place) -> Call:
        """The module at this width."""
        d, size, rank = place.width, self.head_size(place.width), self.inner(place.width)
        pool = selector = None
        if self.pool:
            pool = self._pool(d, size)
        if self.pool and self.top:
            index_size = max(2, size // 2)
            selector = call(
                Selector,
                width=d,
                rank=rank,
                heads=self.index_heads,
                size=index_size,
                top=self.top,
                learns=self.selector,
                pool=self._pool(d, index_size),
            )
        return call(
            CompressedAttention,
            width=d,
            heads=self.heads,
            head_size=size,
            rank=rank,
            groups=min(self.groups, self.heads),
            group_rank=rank,
            window=self.window,
            rotated=self.turned(size),
            base=self.base,
            pool=pool,
            selector=selector,
        )

    def _pool(self, width: int, size: int) -> Call:
        return call(
            Pool,
            width=width,
            size=size,
            tokens=self.pool,
            overlap=self.overlap,
            rotated=self.turned(size),
            base=self.base,
        )


class CompressedAttention(nn.Module):
    """Attention with one shared head of keys that are values, over a window and pooled entries.

    rank, group_rank    inner widths of the query's map and of each group's output map
    groups              groups of heads in the output; 0 for one full map
    rotated, base       features of a head that carry rotary positions, and their base
    pool, selector      what makes entries, what chooses among them; None for none
    """

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        head_size: int,
        rank: int,
        groups: int,
        group_rank: int,
        window: int,
        rotated: int,
        base: int,
        pool: Pool | None,
        selector: Selector | None,
    ) -> None:
        super().__init__()
        self.heads, self.head_size, self.window = heads, head_size, window
        self.rotated, self.base = rotated, base
        self.query_down = nn.Linear(width, rank, bias=False)
        self.query_norm = RmsNorm(width=rank)
        self.query_up = nn.Linear(rank, heads * head_size, bias=False)
        self.token = nn.Linear(width, head_size, bias=False)
        self.token_norm = RmsNorm(width=head_size)
        self.sink = nn.Parameter(torch.zeros(heads))
        self.group = None
        out = heads * head_size
        if groups:
            features = out // groups
            spread = torch.empty(groups, features, group_rank).uniform_(-1.0, 1.0)
            self.group = nn.Parameter(spread * features**-0.5)
            out = groups * group_rank
        self.out = nn.Linear(out, width, bias=False)
        self.pool, self.selector = pool, selector

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Output t depends on inputs <= t."""
        length = x.shape[1]
        latent, q = self._queries(x, 0)
        tokens = self._tokens(x, 0)
        entries = tokens[:, :0] if self.pool is None else self.pool(x)
        bias = tokens.new_zeros(1, length, entries.shape[1])
        loss = None
        if self.pool is not None and entries.shape[1]:
            ended = ended_pools(length, self.pool.tokens, x.device)
            seen = torch.arange(entries.shape[1], device=x.device) < ended[:, None]
            bias = bias.masked_fill(~seen, float("-inf"))
            if self.selector is not None:
                scores, bias = self.selector(x, latent, seen)
                if self.selector.learns == "loss" and self.training and torch.is_grad_enabled():
                    loss = self._selectors_loss(q, entries, scores, seen)
        o = window_and_entries(q, tokens, entries, window=self.window, bias=bias, sink=self.sink)
        y = self._output(o, 0)
        return y if loss is None else attach(y, loss)

    def init_state(self, batch: int) -> State:
        """How many tokens there were; the last window - 1 of them; the states of the two pools."""
        empty = self.sink.new_zeros(batch, 0, self.head_size)
        own = () if self.pool is None else self.pool.init_state(batch)
        index = () if self.selector is None else self.selector.pool.init_state(batch)
        return 0, empty, own, index

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token, which attends to the entries that its selector chooses."""
        position, before, own, index = state
        x = x.unsqueeze(1)
        latent, q = self._queries(x, position)
        tokens = torch.cat((before, self._tokens(x, position)), 1)
        held = tokens
        if self.pool is not None:
            own = self.pool.step(x.squeeze(1), own)
            entries = own[0]
            if self.selector is not None:
                index = self.selector.pool.step(x.squeeze(1), index)
                scores = self.selector.scores(x, latent, index[0], position).squeeze(1)
                best = highest(scores, self.selector.top).unsqueeze(-1)
                entries = entries.gather(1, best.expand(-1, -1, self.head_size))
            held = torch.cat((tokens, entries), 1)
        held = held.unsqueeze(1)
        nothing = q.new_zeros(1, 1, held.shape[2])
        o = softmax_attention(q, held, held, bias=nothing, sink=self.sink)
        y = self._output(o, position).squeeze(1)
        first = max(0, tokens.shape[1] + 1 - self.window)
        return y, (position + 1, tokens[:, first:], own, index)

    def _queries(
        self, x: Float[Tensor, "b t d"], first: int
    ) -> tuple[Float[Tensor, "b t r"], Float[Tensor, "b h t k"]]:
        """What the queries are made of, and the queries."""
        latent = self.query_norm(self.query_down(x))
        q = self.query_up(latent).unflatten(-1, (self.heads, self.head_size))
        power = torch.linalg.vecdot(q, q).unsqueeze(-1) / self.head_size
        q = turn_tail(q * torch.rsqrt(power + 1e-5), _time(x, first), self.rotated, self.base)
        return latent, q.transpose(1, 2)

    def _tokens(self, x: Float[Tensor, "b t d"], first: int) -> Float[Tensor, "b t k"]:
        normed = self.token_norm(self.token(x)).unsqueeze(2)
        return turn_tail(normed, _time(x, first), self.rotated, self.base).squeeze(2)

    def _output(self, o: Float[Tensor, "b h t k"], first: int) -> Float[Tensor, "b t d"]:
        o = o.transpose(1, 2)
        o = turn_tail(o, _time(o, first), self.rotated, self.base, back=True).flatten(2)
        if self.group is not None:
            grouped = o.view(*o.shape[:2], len(self.group), -1)
            o = torch.einsum("btgf,gfr->btgr", grouped, self.group).flatten(2)
        return self.out(o)  # type: ignore[no-any-return]

    def _selectors_loss(
        self,
        q: Float[Tensor, "b h t k"],
        entries: Float[Tensor, "b w k"],
        scores: Float[Tensor, "b t w"],
        seen: Bool[Tensor, "t w"],
    ) -> Float[Tensor, ""]:
        """The divergence, over the queries that see an entry."""
        assert self.pool is not None, "a selector chooses among entries"
        late = slice(self.pool.tokens - 1, None)
        shares = shares_of_entries(q.detach()[:, :, late], entries.detach(), seen[late])
        return divergence(shares, scores[:, late], seen[late])


def _time(x: Tensor, first: int) -> Tensor:
    return torch.arange(first, first + x.shape[1], device=x.device)
