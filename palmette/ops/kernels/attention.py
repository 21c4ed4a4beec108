"""K2, softmax attention: each query takes a weighted mean of the values it can see.

    o_i = sum_j w_ij v_j     w_ij = exp(s_ij) / (exp(sink) + sum_j exp(s_ij))
    s_ij = q_i . k_j / sqrt(k) + by_distance[i - j] + sum_{j < l <= i} forget_l
                                                        over j with 0 <= i - j (< window)

Attention is scaled dot products (arXiv 1706.03762). Several query heads may share one head of keys
and values (grouped-query attention, arXiv 2305.13245): `h` query heads, `g` key and value heads.
Positional biases that depend on the distance alone (ALiBi, T5) are one row a head. A sink is a
logit without a value, so that a head that finds nothing attends to nothing (attention sinks: arXiv
2309.17453; one learned per head as in gpt-oss, arXiv 2508.10925). A forget gate is the log of what
a head keeps at each token; a score falls by all the gates between key and query (arXiv 2503.02130).
With `both_ways` a query also sees what comes after it, and |i - j| takes the place of i - j.

`attention_loop` is the equation above, query by query. `attention` is the same in the fastest form
measured for short texts on one CPU thread (b = 32, h = 2 and 4, t = 128, k = 16 and 32): the fused
`scaled_dot_product_attention` where nothing is added to the scores; explicit scores where something
is (the fused one took 1.1 to 1.3 times as long with a bias, and a learned bias it does not fuse at
all); blocks of one window's size where the text is much longer than the window, which makes the
time linear in t (at t = 512 and windows of 64 to 16 half to a sixth of that with a mask).
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor


def attention_loop(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b g t k"],
    v: Float[Tensor, "b g t v"],
    *,
    window: int = 0,
    by_distance: Float[Tensor, "#h t"] | None = None,
    sink: Float[Tensor, " h"] | None = None,
    forget: Float[Tensor, "b h t"] | None = None,
    both_ways: bool = False,
) -> Float[Tensor, "b h t v"]:
    """The slow form: one query after another, as the equation has it.

    window       how many keys a query sees, its own included; 0 for all that came before
    by_distance  added to the score of the key that came `distance` tokens before the query
    sink         logit of attending to nothing, by head
    forget       log of what a head keeps when it reaches a token, at most 0
    both_ways    whether queries see later keys too

    Takes O(t^2) time in t steps. Twice differentiable, unlike the fused form.
    """
    shared = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
    length = q.shape[2]
    outputs = []
    for i in range(length):
        first = max(0, i + 1 - window) if window else 0
        last = i if not both_ways else min(length, i + window if window else length) - 1
        seen = slice(first, last + 1)
        scores = torch.einsum("bhk,bhsk->bhs", q[:, :, i], k[:, :, seen]) / math.sqrt(q.shape[-1])
        if by_distance is not None:
            distance = [abs(i - j) for j in range(first, last + 1)]
            scores = scores + by_distance[:, distance]
        if forget is not None:
            kept = [
                forget[:, :, min(i, j) + 1 : max(i, j) + 1].sum(-1) for j in range(first, last + 1)
            ]
            scores = scores + torch.stack(kept, -1)
        highest = scores.amax(-1, keepdim=True)
        if sink is not None:
            highest = highest.maximum(sink[:, None])
        weights = (scores - highest).exp()
        total = weights.sum(-1, keepdim=True)
        if sink is not None:
            total = total + (sink[:, None] - highest).exp()
        outputs.append(torch.einsum("bhs,bhsv->bhv", weights / total, v[:, :, seen]))
    return torch.stack(outputs, 2)


def attention(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b g t k"],
    v: Float[Tensor, "b g t v"],
    *,
    window: int = 0,
    by_distance: Float[Tensor, "#h t"] | None = None,
    sink: Float[Tensor, " h"] | None = None,
    forget: Float[Tensor, "b h t"] | None = None,
    both_ways: bool = False,
) -> Float[Tensor, "b h t v"]:
    """The fast form of `attention_loop`: same arguments, same values and gradients.

    Takes O(t^2) time, or O(t window) once t is more than four windows. Where nothing is added to
    the scores it runs in the fused kernel, which cannot be differentiated twice on a CPU.

    >>> q = k = v = torch.eye(3).expand(1, 1, 3, 3)
    >>> attention(q, k, v, window=1)[0, 0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    length = q.shape[2]
    if window and length > 4 * window:
        return blockwise_attention(
            q,
            k,
            v,
            window=window,
            by_distance=by_distance,
            sink=sink,
            forget=forget,
            both_ways=both_ways,
        )
    if by_distance is None and sink is None and forget is None:
        narrow = 0 < window < length
        mask = window_mask(length, window, q.device, both_ways) if narrow else None
        return F.scaled_dot_product_attention(
            q,
            k,
            v,
            attn_mask=mask,
            is_causal=mask is None and not both_ways,
            enable_gqa=k.shape[1] != q.shape[1],
        )
    if by_distance is None:
        by_distance = q.new_zeros(1, length)
    bias = distance_bias(by_distance, window, both_ways)
    if forget is not None:
        kept = forget.cumsum(-1)
        bias = bias + forget_bias(kept, kept, both_ways)
    return softmax_attention(q, k, v, bias=bias, sink=sink)


def softmax_attention(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b g s k"],
    v: Float[Tensor, "b g s v"],
    *,
    bias: Float[Tensor, "*#batch #h t s"],
    sink: Float[Tensor, " h"] | None = None,
) -> Float[Tensor, "b h t v"]:
    """Attention through explicit scores; the bias alone says what a query sees (-inf: not).

    Several sets of keys and values (a window and pooled entries, say) are one set here: join them
    along s. Twice differentiable.
    """
    batch, heads, length, _ = q.shape
    groups = k.shape[1]
    # Query heads that share their keys are stacked along time, so nothing is copied per head.
    grouped = (q * q.shape[-1] ** -0.5).reshape(batch, groups, -1, q.shape[-1])
    scores: Tensor = (grouped @ k.mT).reshape(batch, heads, length, -1) + bias
    if sink is not None:
        # One more key whose value is zero.
        column = sink[:, None, None].expand(batch, heads, length, 1)
        scores, v = torch.cat((scores, column), -1), F.pad(v, (0, 0, 0, 1))
    weights = scores.softmax(-1).reshape(batch, groups, -1, v.shape[2])
    return (weights @ v).reshape(batch, heads, length, -1)


def blockwise_attention(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b g t k"],
    v: Float[Tensor, "b g t v"],
    *,
    window: int,
    by_distance: Float[Tensor, "#h t"] | None = None,
    sink: Float[Tensor, " h"] | None = None,
    forget: Float[Tensor, "b h t"] | None = None,
    both_ways: bool = False,
) -> Float[Tensor, "b h t v"]:
    """Attention within a window, in blocks: queries c at a time against their and the block before.

    With `both_ways` also against the block after. The blocks stand where the heads do, so that all
    of them are one call. Takes O(t window).
    """
    batch, heads, length, _ = q.shape
    blocks = -(-length // window)
    rest = blocks * window - length

    def own_and_near(x: Tensor) -> Tensor:
        x = x.repeat_interleave(heads // x.shape[1], 1)
        x = F.pad(x, (0, 0, window, rest + window * both_ways))
        x = x.reshape(batch, heads, blocks + 1 + both_ways, window, -1)
        near = [x[:, :, first : first + blocks] for first in range(2 + both_ways)]
        return torch.cat(near, 3).flatten(1, 2)

    queries = F.pad(q, (0, 0, 0, rest)).reshape(batch, heads * blocks, window, -1)
    place = torch.arange((2 + both_ways) * window, device=q.device)
    distance = place[window : 2 * window, None] - place
    first = window * torch.arange(-1, blocks - 1, device=q.device)[:, None, None]
    there = (first + place >= 0) & (first + place < length)
    visible = in_sight(distance, window, both_ways) & there
    if by_distance is None and sink is None and forget is None:
        out = F.scaled_dot_product_attention(
            queries, own_and_near(k), own_and_near(v), attn_mask=visible.repeat(heads, 1, 1)
        )
    else:
        if by_distance is None:
            by_distance = q.new_zeros(1, window)
        bias = by_distance[:, distance.abs().clamp(max=window - 1)].unsqueeze(1)
        bias = bias.expand(heads, blocks, -1, -1).masked_fill(~visible, -math.inf).flatten(0, 1)
        if forget is not None:
            kept = own_and_near(forget.unsqueeze(-1)).squeeze(-1).cumsum(-1)
            bias = bias + forget_bias(kept[..., window : 2 * window], kept, both_ways)
        sink = None if sink is None else sink.repeat_interleave(blocks)
        out = softmax_attention(queries, own_and_near(k), own_and_near(v), bias=bias, sink=sink)
    return out.reshape(batch, heads, blocks * window, -1)[:, :, :length]


def in_sight(
    distance: Int[Tensor, "*shape"], window: int, both_ways: bool = False
) -> Bool[Tensor, "*shape"]:
    """Whether a key that came so long before its query (negative: after it) is seen."""
    if both_ways:
        distance = distance.abs()
    return (distance >= 0) & (distance < window) if window else distance >= 0


def window_mask(
    length: int, window: int, device: torch.device, both_ways: bool = False
) -> Bool[Tensor, "t t"]:
    """True where key j is one of the `window` keys up to and including query i."""
    place = torch.arange(length, device=device)
    return in_sight(place[:, None] - place, window, both_ways)


def distance_bias(
    by_distance: Float[Tensor, "h t"], window: int, both_ways: bool = False
) -> Float[Tensor, "h t t"]:
    """Lays one row by distance out as a matrix: at (i, j) its entry i - j, -inf where unseen."""
    length = by_distance.shape[1]
    if window:
        far = torch.arange(length, device=by_distance.device) >= window
        by_distance = by_distance.masked_fill(far, -math.inf)
    future = by_distance[:, 1:]
    if not both_ways:
        future = by_distance.new_full(future.shape, -math.inf)
    # Row i of a Toeplitz matrix is a window into one row; its gradient costs a fifth of indexing's.
    return torch.cat((by_distance.flip(-1), future), -1).unfold(-1, length, 1).flip(1)


def forget_bias(
    at_query: Float[Tensor, "*bh t"], at_key: Float[Tensor, "*bh s"], both_ways: bool = False
) -> Float[Tensor, "*bh t s"]:
    """The sum of the log gates between key and query, from their running sums at each of the two.

    Above the diagonal it is meaningless unless `both_ways`; a mask takes it away there.
    """
    between = at_query.unsqueeze(-1) - at_key.unsqueeze(-2)
    return -between.abs() if both_ways else between
