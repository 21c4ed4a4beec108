"""Time in blocks, as attention over chosen blocks sees it."""

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


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
