"""Time in blocks, as attention over chosen blocks sees it."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from palmette.ops.kernels.attention import softmax_attention


def complete_blocks(x: Float[Tensor, "b g t k"], block: int) -> Float[Tensor, "b g n block k"]:
    """The blocks that have ended; tokens of one that has not are left out.

    So what is made of a block never changes when the text goes on.
    """
    blocks = x.shape[2] // block
    return x[:, :, : blocks * block].reshape(*x.shape[:2], blocks, block, x.shape[-1])


def with_open_block(
    scores: Float[Tensor, "b h t n"], length: int, block: int
) -> Float[Tensor, "b h t blocks"]:
    """Scores of all blocks of a text: a last one that has not ended has none (-inf)."""
    missing = -(-length // block) - scores.shape[-1]
    return torch.cat((scores, scores.new_full((*scores.shape[:-1], missing), -math.inf)), -1)


def attention_to_blocks(
    q: Float[Tensor, "b h t k"],
    keys: Float[Tensor, "b g s k"],
    values: Float[Tensor, "b g s k"],
    chosen: Bool[Tensor, "b rows t n"],
    block: int,
) -> Float[Tensor, "b h t k"]:
    """Attention of the last t of s tokens to the blocks that each has chosen, its own among them.

    There is a choice for each query head, or one for all that share their keys. Of a whole text all
    pairs are computed and those that were not chosen masked; one token alone, as in decoding,
    gathers the keys that it reads and leaves the others where they are.
    """
    length, groups, rows = keys.shape[2], keys.shape[1], chosen.shape[1]
    if q.shape[2] > 1:
        places = torch.arange(length - q.shape[2], length, device=q.device)
        bias = bias_of_blocks(chosen, places, length, block, q.dtype)
        bias = bias.repeat_interleave(q.shape[1] // rows, 1)
        return softmax_attention(q, keys, values, bias=bias)
    # All rows have chosen equally many, and the own block, which ends with this token, comes last.
    blocks = chosen.nonzero()[:, -1].view(len(q), rows, -1, 1)
    seen = (block * blocks + torch.arange(block, device=q.device)).flatten(-2)
    seen = seen[..., : seen.shape[-1] - -length % block].view(len(q), groups, rows // groups, -1, 1)
    keys, values = (
        x.unsqueeze(2)
        .expand(-1, -1, rows // groups, -1, -1)
        .gather(3, seen.expand(-1, -1, -1, -1, x.shape[-1]))
        .flatten(1, 2)
        for x in (keys, values)
    )
    return softmax_attention(q, keys, values, bias=q.new_zeros(1, 1, keys.shape[2]))


def bias_of_blocks(
    chosen: Bool[Tensor, "b h t n"],
    places: Int[Tensor, " t"],
    length: int,
    block: int,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "b h t s"]:
    """0 for the keys of chosen blocks up to the query's own place, -inf for all others."""
    keys = torch.arange(length, device=chosen.device)
    seen = chosen.repeat_interleave(block, -1)[..., :length] & (keys <= places[:, None])
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, -math.inf)


def mean_complete_blocks(length: int, block: int) -> float:
    """How many blocks have ended at a token, the mean over a text of this length."""
    blocks, rest = divmod(length, block)
    return (block * blocks * (blocks - 1) / 2 + blocks * (rest + 1)) / length


def mean_chosen_keys(length: int, block: int, others: int) -> float:
    """Keys that a query sees in its own block and at most so many others, the mean over a text.

    >>> mean_chosen_keys(4, 2, others=1)  # 1, 2, then 3, 4
    2.5
    """
    blocks, rest = divmod(length, block)
    few = min(blocks, others)
    before = few * (few - 1) / 2 + others * (blocks - few)  # other blocks, over the own ones
    own = blocks * block * (block + 1) / 2 + rest * (rest + 1) / 2
    return (own + block * (block * before + rest * min(blocks, others))) / length
