"""Mixture of block attention (MoBA, arXiv 2502.13189): softmax attention over a few chosen blocks.

    score_n = q . mean of the keys of block n            (equation 6)
    o = attention(q, keys and values of the own block and of the `count` best before it)

Time is cut in blocks of `block` tokens. Each query head chooses for itself, among the blocks that
ended before the query's own; the own block is always in, as far as the query (section 2.2). The
paper's top-k counts the own block, `count` does not.

The choice itself gets no gradient: as published, scores decide and do not weigh. What decides are
the queries and keys that attention trains anyway, so there is no parameter that does not train.
Of blocks that score alike the newest is chosen. A score for each block makes the work
O(t^2 / block), so neither linear time nor a constant state is promised. Over a whole text all pairs
are computed and those of blocks that were not chosen masked; decoding reads what was chosen and
no more. The cost counts chosen pairs.
"""

from fractions import Fraction
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._blocks import (
    attention_to_blocks,
    complete_blocks,
    mean_chosen_keys,
    mean_complete_blocks,
    with_open_block,
)
from palmette.ops._positions import rotate_by_position
from palmette.ops._stream import State
from palmette.ops._topk import top_few


@node
class Moba(Primitive):
    """Softmax attention over a query's own block and the best few before it (arXiv 2502.13189).

    >>> from palmette.ops._base import Place
    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> Moba().cost(place, length=128).parameters
    16384
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    odds: ClassVar[float] = 0.2
    # The choice jumps from block to block, so there is no derivative everywhere.
    breaks = frozenset(
        {
            Effect.CONSTANT_STATE,
            Effect.LINEAR_TIME,
            Effect.TWICE_DIFFERENTIABLE,
            Effect.FORKS,
        }
    )

    heads: int = knob(4, 1, 2, 8, weights=(4, 1, 2, 2), meaning="query heads")
    kv_heads: Fraction = knob(
        Fraction(1),
        Fraction(1, 2),
        Fraction(1, 4),
        weights=(4, 1, 1),
        meaning="key and value heads for each query head, at least one in all (arXiv 2305.13245)",
    )
    block: int = knob(16, 8, 32, weights=(3, 2, 1), meaning="tokens of a block")
    count: int = knob(2, 1, 4, weights=(2, 1, 1), meaning="blocks chosen beside the own one")
    positions: str = knob(
        "rope", "none", weights=(4, 1), meaning="rotary positions (arXiv 2104.09864) or none"
    )

    def sizes(self, width: int) -> tuple[int, int]:
        """Key and value heads, and the head size."""
        return max(1, int(self.heads * self.kv_heads)), max(1, round(width / self.heads))

    def cost(self, place: Place, length: int) -> Cost:
        """Projections, a score for each block before, and the chosen keys and values."""
        d, h = place.width, self.heads
        g, k = self.sizes(d)
        parameters = 2 * d * h * k + 2 * d * g * k
        flops = 2.0 * parameters
        flops += 2.0 * g * k  # sums over blocks
        flops += 2.0 * h * k * mean_complete_blocks(length, self.block)
        flops += 4.0 * h * k * mean_chosen_keys(length, self.block, self.count)
        if self.positions == "rope":
            flops += 4.0 * (h + g) * (k - k % 2)
        kept = 2 * length + length // self.block
        return Cost(parameters, flops, state_bytes=4 * g * k * kept)

    def plan(self, place: Place) -> Call:
        """`BlockAttention` at this width."""
        kv_heads, head_size = self.sizes(place.width)
        return call(
            BlockAttention,
            width=place.width,
            heads=self.heads,
            kv_heads=kv_heads,
            head_size=head_size,
            block=self.block,
            count=self.count,
            rotary=self.positions == "rope",
        )


class BlockAttention(nn.Module):
    """Attention to a query's own block and the `count` best that ended before it."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        kv_heads: int,
        head_size: int,
        block: int,
        count: int,
        rotary: bool,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = heads, kv_heads, head_size
        self.block, self.count, self.rotary = block, count, rotary
        self.query = nn.Linear(width, heads * head_size, bias=False)
        self.key = nn.Linear(width, kv_heads * head_size, bias=False)
        self.value = nn.Linear(width, kv_heads * head_size, bias=False)
        self.out = nn.Linear(heads * head_size, width, bias=False)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """All tokens at once, with a mask of what each query has chosen."""
        q, k, v = self._heads(x, 0)
        return self._read(q, k, v, complete_blocks(k, self.block).mean(3))

    def init_state(self, batch: int) -> State:
        """Keys and values [b g 0 k], and the mean key of each block that has ended [b g 0 k]."""
        empty = self.key.weight.new_zeros(batch, self.kv_heads, 0, self.head_size)
        return empty, empty, empty

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        keys, values, means = state
        q, k, v = self._heads(x.unsqueeze(1), keys.shape[2])
        keys, values = torch.cat((keys, k), 2), torch.cat((values, v), 2)
        if keys.shape[2] % self.block == 0:
            means = torch.cat((means, keys[:, :, -self.block :].mean(2, keepdim=True)), 2)
        return self._read(q, keys, values, means).squeeze(1), (keys, values, means)

    def _heads(
        self, x: Float[Tensor, "b t d"], first: int
    ) -> tuple[Float[Tensor, "b h t k"], Float[Tensor, "b g t k"], Float[Tensor, "b g t k"]]:
        """Queries, keys and values of tokens that begin at place `first`."""
        b, t, _ = x.shape
        q = self.query(x).view(b, t, self.heads, self.head_size)
        k = self.key(x).view(b, t, self.kv_heads, self.head_size)
        v = self.value(x).view(b, t, self.kv_heads, self.head_size)
        if self.rotary:
            q, k = rotate_by_position(q, first), rotate_by_position(k, first)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)

    def _read(
        self,
        q: Float[Tensor, "b h t k"],
        keys: Float[Tensor, "b g s k"],
        values: Float[Tensor, "b g s k"],
        means: Float[Tensor, "b g n k"],
    ) -> Float[Tensor, "b t d"]:
        """What the last t of s tokens read."""
        length = keys.shape[2]
        places = torch.arange(length - q.shape[2], length, device=q.device)
        with torch.no_grad():
            shared = means.repeat_interleave(self.heads // self.kv_heads, 1)
            scores = with_open_block(q @ shared.mT, length, self.block) * self.head_size**-0.5
            blocks = torch.arange(scores.shape[-1], device=q.device)
            own = places[:, None] // self.block
            scores = scores.masked_fill(blocks >= own, -torch.inf)
            chosen = top_few(scores, self.count) | (blocks == own)
        o = attention_to_blocks(q, keys, values, chosen, self.block)
        y: Tensor = self.out(o.transpose(1, 2).flatten(-2))
        return y
