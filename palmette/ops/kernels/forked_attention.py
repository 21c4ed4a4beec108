"""K2 below an energy: softmax attention of the real tokens and of a candidate beside each of them.

An energy weighs a candidate for the token after every real one (energy-based transformers, arXiv
2507.02092, section 3.3). Along time stand t real tokens, then t candidates; candidate i stands
where token i + 1 would, and sees what that token would see, but itself in its place:

    real i        sees real 0 .. i
    candidate i   sees real 0 .. i, at distances i + 1 .. 1, and itself at distance 0

All of it is explicit, so it can be differentiated twice.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from palmette.ops.kernels.attention import distance_bias, forget_bias, softmax_attention


def forked_attention(
    q: Float[Tensor, "b h tt k"],
    k: Float[Tensor, "b g tt k"],
    v: Float[Tensor, "b g tt v"],
    *,
    window: int = 0,
    by_distance: Float[Tensor, "#h distances"] | None = None,
    sink: Float[Tensor, " h"] | None = None,
    forget: Float[Tensor, "b h tt"] | None = None,
) -> Float[Tensor, "b h tt v"]:
    """Attention over t real tokens and t candidates; arguments as `attention` has them.

    `by_distance` has t + 1 entries: the first token and the last candidate are t apart.

    >>> token, candidate = torch.eye(2)
    >>> v = torch.stack((token, candidate))[None, None]
    >>> forked_attention(torch.zeros(1, 1, 2, 1), torch.zeros(1, 1, 2, 1), v)[0, 0].tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    length = q.shape[2] // 2
    shared = q.shape[1] // k.shape[1]
    (q_real, q_next), (k_real, k_next), (v_real, v_next) = (x.chunk(2, 2) for x in (q, k, v))
    if by_distance is None:
        by_distance = q.new_zeros(1, length + 1)
    if window:
        far = torch.arange(length + 1, device=q.device) >= window
        by_distance = by_distance.masked_fill(far, -math.inf)
    bias = distance_bias(by_distance[:, :-1], 0)
    bias_next = distance_bias(by_distance[:, 1:], 0)
    if forget is not None:
        real, following = forget.chunk(2, -1)
        kept = real.cumsum(-1)
        bias = bias + forget_bias(kept, kept)
        bias_next = bias_next + forget_bias(kept + following, kept)
    out = softmax_attention(q_real, k_real, v_real, bias=bias, sink=sink)

    k_real, k_next, v_real, v_next = (
        x.repeat_interleave(shared, 1) for x in (k_real, k_next, v_real, v_next)
    )
    q_next = q_next * q.shape[-1] ** -0.5
    itself = (q_next * k_next).sum(-1, keepdim=True) + by_distance[:, :1, None]
    scores = [q_next @ k_real.mT + bias_next, itself]
    if sink is not None:
        scores.append(sink[:, None, None].expand_as(itself))
    weights = torch.cat(scores, -1).softmax(-1)
    out_next = weights[..., :length] @ v_real + weights[..., length : length + 1] * v_next
    return torch.cat((out, out_next), 2)
