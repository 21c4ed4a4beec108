"""The memory of `slots`: m pairs of a key and a value, written together, read by a softmax.

    K_t = Diag(e^{g_t}) K_{t-1} + w_t k_t^T        K: [m k], g and w: [m]
    V_t = Diag(e^{g_t}) V_{t-1} + w_t v_t^T        V: [m v]
    o_t = softmax(K_t q_t) V_t

Attention with bounded memory (ABC, arXiv 2110.02488) and gated slot attention (GSA, arXiv
2409.07146). In chunks it is two passes: the scores K_t q_t for all t, then K1 with the softmax's
weights as queries and w as keys. The first pass is K1 with the decay on the axis that is read out:

    (K_i q_i)[m] = e^{G_i[m]} sum_j (q_i . k_j) e^{-G_j[m]} w_j[m]     with G the running sum of g

so a log decay must be at least -5. The first pass runs in chunks of 16, where fp32 holds e^{-G} and
large scores too. All forms are plain torch and twice differentiable.
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from palmette.ops.kernels.recurrence import (
    _chunks,
    _middle,
    _scan_diagonal,
    recurrence_chunked,
)

Memory: TypeAlias = tuple[Tensor, Tensor]  # the keys [b h m k], the values [b h m v]


def slots_step(
    q: Float[Tensor, "b h k"],
    k: Float[Tensor, "b h k"],
    v: Float[Tensor, "b h v"],
    write: Float[Tensor, "b h m"],
    log_decay: Float[Tensor, "b h m"],
    memory: Memory,
) -> tuple[Float[Tensor, "b h v"], Memory]:
    """One token: its output and the memory after it.

    >>> one = torch.ones(1, 1, 1)
    >>> empty = (torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1))
    >>> slots_step(one, one, 7 * one, one, 0 * one, empty)[0].item()
    7.0
    """
    kept, written = log_decay.exp().unsqueeze(-1), write.unsqueeze(-1)
    keys = kept * memory[0] + written * k.unsqueeze(-2)
    values = kept * memory[1] + written * v.unsqueeze(-2)
    weights = torch.softmax((keys @ q.unsqueeze(-1)).squeeze(-1), -1)
    return (weights.unsqueeze(-2) @ values).squeeze(-2), (keys, values)


def slots_loop(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b h t k"],
    v: Float[Tensor, "b h t v"],
    write: Float[Tensor, "b h t m"],
    log_decay: Float[Tensor, "b h t m"],
    memory: Memory | None = None,
) -> tuple[Float[Tensor, "b h t v"], Memory]:
    """Token by token, from `memory` or from an empty one: outputs and the memory at the end."""
    if memory is None:
        b, h, _, m = write.shape
        memory = k.new_zeros(b, h, m, k.shape[-1]), v.new_zeros(b, h, m, v.shape[-1])
    outputs = []
    for i in range(q.shape[2]):
        q_i, k_i, v_i, write_i, log_decay_i = (x[:, :, i] for x in (q, k, v, write, log_decay))
        output, memory = slots_step(q_i, k_i, v_i, write_i, log_decay_i, memory)
        outputs.append(output)
    return torch.stack(outputs, 2), memory


def slots_chunked(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b h t k"],
    v: Float[Tensor, "b h t v"],
    write: Float[Tensor, "b h t m"],
    log_decay: Float[Tensor, "b h t m"],
    memory: Memory | None = None,
    chunk: int = 16,
) -> tuple[Float[Tensor, "b h t v"], Memory]:
    """The values of `slots_loop`, for any t, with matrix products and a loop over chunks alone."""
    keys, values = (None, None) if memory is None else memory
    scores, keys = _scores(q, k, write, log_decay, keys, chunk)
    outputs, values = recurrence_chunked(
        torch.softmax(scores, -1), write, v, log_decay, state=values
    )
    return outputs, (keys, values)


def _scores(
    q: Float[Tensor, "b h t k"],
    k: Float[Tensor, "b h t k"],
    write: Float[Tensor, "b h t m"],
    log_decay: Float[Tensor, "b h t m"],
    keys: Float[Tensor, "b h m k"] | None,
    size: int,
) -> tuple[Float[Tensor, "b h t m"], Float[Tensor, "b h m k"]]:
    """K_t q_t for all t, and the keys at the end."""
    length = q.shape[2]
    q, k, write = _chunks(q, size), _chunks(k, size), _chunks(write, size)
    total = _chunks(log_decay, size).cumsum(3)
    middle, end = _middle(total), total[..., -1:, :]
    seen = (q @ k.transpose(-1, -2)).tril()
    inside = (total - middle).exp() * (seen @ (write * (middle - total).exp()))
    added = (write * (end - total).exp()).transpose(-1, -2) @ k
    starts, keys = _scan_diagonal(end.exp().transpose(-1, -2), added, keys)
    scores = inside + total.exp() * (q @ starts.transpose(-1, -2))
    return scores.flatten(2, 3)[:, :, :length], keys
