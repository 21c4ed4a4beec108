"""Native sparse attention (NSA, arXiv 2502.11089): three readings of the past, weighed by gates.

    o = g_c o_c + g_s o_s + g_w o_w,   three sigmoid gates a head, computed from the token

    o_c   compressed: attention over one key and value for each block that has ended (section 3.3.1)
    o_s   selected: attention over all tokens of a few blocks (section 3.3.2)
    o_w   window: attention over the last `window` tokens (section 3.3.3)

A block's compressed key is an MLP of its keys, to which vectors for their places in the block are
added; values have an MLP of their own. Each reading has keys and values of its own. Blocks are
selected by the weights that the compressed reading gives them, summed over the query heads that
share their keys, so that these also share their selection: the first block, the query's own and
the one before it, and `count` more (the paper's n counts all of them).

The selector trains through the compressed reading, whose weights it is; the selection itself gets
no gradient, as published. Of blocks that score alike the newest is chosen. Compressed keys make the
work O(t^2 / block), so neither linear time nor a constant state is promised. Over a whole text all
pairs are computed and those of blocks that were not selected masked; decoding reads what was
selected and no more. The cost counts selected pairs.
"""

from fractions import Fraction
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
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
from palmette.ops.kernels.attention import attention, softmax_attention


@node
class Nsa(Primitive):
    """Compressed blocks, selected blocks and a window, weighed by gates (arXiv 2502.11089).

    >>> from palmette.ops._base import Place
    >>> place = Place(width=64, depth=1, hidden=1.0, vocabulary=256, context=128)
    >>> Nsa(compress="mean").cost(place, length=128).parameters
    21248
    """

    sort = Sort.OPERATOR
    role = "token mixer"
    odds: ClassVar[float] = 0.2
    # The selection jumps from block to block, so there is no derivative everywhere.
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
        Fraction(1, 2),
        Fraction(1),
        Fraction(1, 4),
        weights=(2, 1, 1),
        meaning="key and value heads for each query head, at least one in all (arXiv 2305.13245)",
    )
    block: int = knob(16, 8, weights=(1, 1), meaning="tokens of a block")
    count: int = knob(
        1,
        2,
        4,
        weights=(2, 1, 1),
        meaning="blocks selected beside the first, the own and the one before it",
    )
    window: int = knob(32, 16, 64, weights=(2, 1, 1), meaning="tokens of the window")
    compress: str = knob(
        "mlp", "mean", weights=(2, 1), meaning="what makes one key and value of a block"
    )
    positions: str = knob(
        "rope", "none", weights=(4, 1), meaning="rotary positions (arXiv 2104.09864) or none"
    )

    def sizes(self, width: int) -> tuple[int, int]:
        """Key and value heads, and the head size."""
        return max(1, int(self.heads * self.kv_heads)), max(1, round(width / self.heads))

    def cost(self, place: Place, length: int) -> Cost:
        """Projections, compression once a block, and the three readings."""
        d, h, block = place.width, self.heads, self.block
        g, k = self.sizes(d)
        matrices = 2 * d * h * k + 6 * d * g * k + 3 * d * h
        compressor = 2 * (block * k * k + k * k) if self.compress == "mlp" else 0
        places = 2 * block * k if self.compress == "mlp" else 0
        compressed = mean_complete_blocks(length, block)
        selected = mean_chosen_keys(length, block, self.count + 2)
        reach = min(length, self.window)
        window = reach - reach * (reach - 1) / (2 * length)
        flops = 2.0 * matrices + 2.0 * g * compressor / block + 2.0 * g * k  # and places, or sums
        flops += 4.0 * h * k * (compressed + selected + window) + 6.0 * h * k
        if self.positions == "rope":
            flops += 4.0 * (h + 3 * g) * (k - k % 2)
        kept = length + length // block + length % block + reach
        return Cost(matrices + compressor + places, flops, state_bytes=4 * 2 * g * k * kept)

    def plan(self, place: Place) -> Call:
        """`NativeSparseAttention` at this width."""
        kv_heads, head_size = self.sizes(place.width)
        return call(
            NativeSparseAttention,
            width=place.width,
            heads=self.heads,
            kv_heads=kv_heads,
            head_size=head_size,
            block=self.block,
            count=self.count,
            window=self.window,
            mlp=self.compress == "mlp",
            rotary=self.positions == "rope",
        )


class NativeSparseAttention(nn.Module):
    """Attention to compressed blocks, to selected blocks and to a window."""

    def __init__(
        self,
        *,
        width: int,
        heads: int,
        kv_heads: int,
        head_size: int,
        block: int,
        count: int,
        window: int,
        mlp: bool,
        rotary: bool,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_size = heads, kv_heads, head_size
        self.block, self.count, self.window, self.rotary = block, count, window, rotary
        self.query = nn.Linear(width, heads * head_size, bias=False)
        self.key = nn.Linear(width, 3 * kv_heads * head_size, bias=False)
        self.value = nn.Linear(width, 3 * kv_heads * head_size, bias=False)
        self.gate = nn.Linear(width, 3 * heads, bias=False)
        self.out = nn.Linear(heads * head_size, width, bias=False)
        self.compress_keys = BlockCompressor(block, head_size) if mlp else BlockMean()
        self.compress_values = BlockCompressor(block, head_size) if mlp else BlockMean()

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """All tokens at once, with a mask of what each query has selected."""
        q, (k_block, k_chosen, k_near), (v_block, v_chosen, v_near) = self._heads(x, 0)
        k_block = self.compress_keys(complete_blocks(k_block, self.block))
        v_block = self.compress_values(complete_blocks(v_block, self.block))
        far, few = self._read(q, k_block, v_block, k_chosen, v_chosen)
        near = attention(q, k_near, v_near, window=self.window)
        return self._output(x, far, few, near)

    def init_state(self, batch: int) -> State:
        """Keys and values [b g 0 k] of: ended blocks, the open block, all tokens, the window."""
        empty = self.key.weight.new_zeros(batch, self.kv_heads, 0, self.head_size)
        return (empty,) * 4, (empty,) * 4

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        x = x.unsqueeze(1)
        q, *new = self._heads(x, state[0][2].shape[2])
        after = []
        for kept, (to_block, to_chosen, to_near), compress in zip(
            state, new, (self.compress_keys, self.compress_values), strict=True
        ):
            blocks, unfinished, everything, near = kept
            unfinished = torch.cat((unfinished, to_block), 2)
            if unfinished.shape[2] == self.block:
                blocks = torch.cat((blocks, compress(unfinished.unsqueeze(2))), 2)
                unfinished = unfinished[:, :, :0]
            everything = torch.cat((everything, to_chosen), 2)
            near = torch.cat((near, to_near), 2)[:, :, -self.window :]
            after.append((blocks, unfinished, everything, near))
        (k_block, _, k_chosen, k_near), (v_block, _, v_chosen, v_near) = after
        far, few = self._read(q, k_block, v_block, k_chosen, v_chosen)
        near = softmax_attention(q, k_near, v_near, bias=x.new_zeros(1, 1, k_near.shape[2]))
        return self._output(x, far, few, near).squeeze(1), tuple(after)

    def _heads(
        self, x: Float[Tensor, "b t d"], first: int
    ) -> tuple[Float[Tensor, "b h t k"], tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Queries, and keys and values [b g t k] of the three readings, from place `first` on."""
        b, t, _ = x.shape
        q = self.query(x).view(b, t, self.heads, self.head_size)
        k = self.key(x).view(b, t, 3 * self.kv_heads, self.head_size)
        v = self.value(x).view(b, t, 3 * self.kv_heads, self.head_size)
        if self.rotary:
            q, k = rotate_by_position(q, first), rotate_by_position(k, first)
        return q.transpose(1, 2), k.transpose(1, 2).chunk(3, 1), v.transpose(1, 2).chunk(3, 1)

    def _read(
        self,
        q: Float[Tensor, "b h t k"],
        k_block: Float[Tensor, "b g n k"],
        v_block: Float[Tensor, "b g n k"],
        keys: Float[Tensor, "b g s k"],
        values: Float[Tensor, "b g s k"],
    ) -> tuple[Float[Tensor, "b h t k"], Float[Tensor, "b h t k"]]:
        """The compressed and the selected reading of the last t of s tokens."""
        length = keys.shape[2]
        places = torch.arange(length - q.shape[2], length, device=q.device)
        weights = self._weights(q, k_block, places)
        far = (weights @ v_block.unsqueeze(2)).flatten(1, 2)
        with torch.no_grad():
            scores = with_open_block(weights.sum(2), length, self.block)
            blocks = torch.arange(scores.shape[-1], device=q.device)
            own = places[:, None] // self.block
            fixed = (blocks == 0) | (blocks == own) | (blocks == own - 1)
            scores = scores.masked_fill(blocks > own, -torch.inf).masked_fill(fixed, torch.inf)
            chosen = top_few(scores, self.count + 3)
        return far, attention_to_blocks(q, keys, values, chosen, self.block)

    def _weights(
        self,
        q: Float[Tensor, "b h t k"],
        k_block: Float[Tensor, "b g n k"],
        places: Int[Tensor, " t"],
    ) -> Float[Tensor, "b g shared t n"]:
        """What each head gives to each block that has ended; nothing before the first has."""
        b, _, t, k = q.shape
        q = q.reshape(b, self.kv_heads, -1, t, k) * self.head_size**-0.5
        ends = self.block * torch.arange(1, k_block.shape[2] + 1, device=q.device) - 1
        seen = ends <= places[:, None]
        scores = (q @ k_block.unsqueeze(2).mT).masked_fill(~seen, torch.finfo(q.dtype).min)
        return scores.softmax(-1) * seen

    def _output(
        self,
        x: Float[Tensor, "b t d"],
        far: Float[Tensor, "b h t k"],
        few: Float[Tensor, "b h t k"],
        near: Float[Tensor, "b h t k"],
    ) -> Float[Tensor, "b t d"]:
        gates = torch.sigmoid(self.gate(x)).transpose(1, 2).unsqueeze(-1).chunk(3, 1)
        o = gates[0] * far + gates[1] * few + gates[2] * near
        y: Tensor = self.out(o.transpose(1, 2).flatten(-2))
        return y


class BlockCompressor(nn.Module):
    """One vector for a block: an MLP over all of it, each token marked with its place."""

    def __init__(self, block: int, size: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.zeros(block, size))
        self.places.no_decay = True  # type: ignore[attr-defined]
        self.inner = nn.Linear(block * size, size, bias=False)
        self.outer = nn.Linear(size, size, bias=False)

    def forward(self, x: Float[Tensor, "b g n block k"]) -> Float[Tensor, "b g n k"]:
        """Each block for itself."""
        y: Tensor = self.outer(F.gelu(self.inner((x + self.places).flatten(-2))))
        return y


class BlockMean(nn.Module):
    """One vector for a block: the mean."""

    def forward(self, x: Float[Tensor, "b g n block k"]) -> Float[Tensor, "b g n k"]:
        """Each block for itself."""
        return x.mean(3)
