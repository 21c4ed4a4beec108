"""Attention over two sets at once: the last tokens, and pooled entries of all that came before.

An *entry* is the mean of a pool of m tokens, weighted feature by feature by a softmax over the
pool (the compressed attention of DeepSeek-V4, technical report of 2026):

    C_w = sum_j softmax_j(z_j + b_j) * c_j      over the tokens j = w m, ... w m + m - 1

With two *series* each pool also reads the tokens of the pool before it, through maps of their own,
so that entries overlap: the softmax then runs over 2 m slots. A query at t sees the entries whose
pool has ended, w < (t + 1) // m.

Keys are values, and all heads share them: a token or an entry is one vector.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def pooled(
    values: Float[Tensor, "b t c"],
    gates: Float[Tensor, "b t c"],
    bias: Float[Tensor, "m c"],
    series: int,
) -> Float[Tensor, "b w k"]:
    """The entries of all pools that are complete; c is series x k.

    The first series is what the pool after reads, the last what the pool itself reads.

    >>> ones = torch.ones(1, 5, 1)
    >>> pooled(torch.arange(5.0).view(1, 5, 1), ones, torch.zeros(2, 1), series=1).flatten()
    tensor([0.5000, 2.5000])
    """
    size, features = bias.shape
    batch, pools = values.shape[0], values.shape[1] // size
    values = values[:, : pools * size].reshape(batch, pools, size, features)
    gates = gates[:, : pools * size].reshape(batch, pools, size, features) + bias
    if series == 2:
        one_earlier = (0, 0, 0, 0, 1, 0)
        before, now = values.chunk(2, -1)
        values = torch.cat((F.pad(before, one_earlier)[:, :pools], now), 2)
        before, now = gates.chunk(2, -1)
        gates = torch.cat((F.pad(before, one_earlier, value=-math.inf)[:, :pools], now), 2)
    return (values * gates.softmax(2)).sum(2)


def ended_pools(length: int, size: int, device: torch.device) -> Int[Tensor, " t"]:
    """How many entries each query sees.

    >>> ended_pools(5, 2, torch.device("cpu")).tolist()
    [0, 1, 1, 2, 2]
    """
    return torch.arange(1, length + 1, device=device) // size


def highest(scores: Float[Tensor, "*bt w"], top: int) -> Int[Tensor, "*bt s"]:
    """The places of the `top` highest scores; of equal ones the last, the newest entry, wins.

    Scores that are sums of ReLUs are often equal, all of them zero. An order by place holds however
    many entries there are, so decoding and training choose the same.

    >>> highest(torch.tensor([0.0, 2.0, 0.0, 0.0]), 3).tolist()
    [1, 3, 2]
    """
    order = torch.sort(scores.flip(-1), dim=-1, descending=True, stable=True).indices
    return scores.shape[-1] - 1 - order[..., :top]


def marked(places: Int[Tensor, "*bt s"], number: int) -> Bool[Tensor, "*bt w"]:
    """True at these places of `number`."""
    marks = torch.zeros(*places.shape[:-1], number, dtype=torch.bool, device=places.device)
    return marks.scatter(-1, places, True)


def window_and_entries(
    q: Float[Tensor, "b h t k"],
    tokens: Float[Tensor, "b t k"],
    entries: Float[Tensor, "b w k"],
    *,
    window: int,
    bias: Float[Tensor, "#b t w"],
    sink: Float[Tensor, " h"],
) -> Float[Tensor, "b h t k"]:
    """One softmax over the last `window` tokens, the entries and a sink that holds nothing.

    `bias` is added to the entries' scores; -inf hides one. Queries run in blocks of one window's
    size against the tokens of their own and the block before, so the tokens cost O(t window).
    """
    batch, heads, length, size = q.shape
    block = min(window, length)
    blocks = -(-length // block)
    rest = blocks * block - length
    # [b blocks h*block k]: heads share keys, so they stand where queries do.
    queries = F.pad(q * size**-0.5, (0, 0, 0, rest)).reshape(batch, heads, blocks, block, size)
    queries = queries.transpose(1, 2).reshape(batch, blocks, heads * block, size)
    near = F.pad(tokens, (0, 0, block, rest)).reshape(batch, blocks + 1, block, size)
    near = torch.cat((near[:, :-1], near[:, 1:]), 2)  # [b blocks 2*block k]
    far = entries.unsqueeze(1)

    place = torch.arange(2 * block, device=q.device)
    distance = place[block:, None] - place
    seen = ((distance >= 0) & (distance < window)).repeat(blocks, 1, 1)
    seen[0, :, :block] = False  # nothing comes before the first block
    hidden = torch.zeros(seen.shape, device=q.device, dtype=q.dtype).masked_fill(~seen, -math.inf)
    by_head = (batch, blocks, heads, block, -1)
    near_scores = (queries @ near.mT).view(by_head) + hidden.unsqueeze(1)
    far_bias = F.pad(bias, (0, 0, 0, rest)).reshape(len(bias), blocks, 1, block, bias.shape[2])
    far_scores = (queries @ far.mT).view(*by_head[:-1], bias.shape[2]) + far_bias

    nothing = sink[:, None, None].expand(*by_head[:-1], 1)
    weights = torch.cat((near_scores, far_scores, nothing), -1).softmax(-1).flatten(2, 3)
    out: Tensor = weights[..., : 2 * block] @ near + weights[..., 2 * block : -1] @ far
    out = out.view(by_head).transpose(1, 2).reshape(batch, heads, blocks * block, size)
    return out[:, :, :length]


def shares_of_entries(
    q: Float[Tensor, "b h t k"], entries: Float[Tensor, "b w k"], seen: Bool[Tensor, "t w"]
) -> Float[Tensor, "b t w"]:
    """How the heads, on average, share their attention out among the entries that they see.

    Every query has to see one.
    """
    scores: Tensor = torch.einsum("bhtk,bwk->bhtw", q, entries) * q.shape[-1] ** -0.5
    return scores.masked_fill(~seen, -math.inf).softmax(-1).mean(1)
