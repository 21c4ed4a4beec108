"""K1: the linear recurrence that every member of the `lin` family is a special case of.

    S_t = Diag(e^{g_t}) S_{t-1} + b_t (a_t^T S_{t-1}) + k_t v_t^T          S: [k v]
    o_t = q_t^T S_t                                         the inclusive read
    o_t = q_t^T (S_{t-1} + Diag(u) k_t v_t^T)               the exclusive read, u being the bonus

g is the log decay (none, one a head, or one a key channel); a and b erase. Without b the erasure
goes through the key, b = k: S_t = Diag(e^{g_t}) S_{t-1} + k_t (v_t + a_t^T S_{t-1})^T, which is the
delta rule for v = beta v, a = -beta e^g k, and the cheapest of the erasing forms.

Three forms: `recurrence_step` is the equation, `recurrence_loop` runs it over time, and
`recurrence_chunked` computes the same values chunk by chunk with matrix products (Yang et al.,
arXiv 2406.06484 for the erasure; Dao & Gu, arXiv 2405.21060 for the decay). All three are plain
torch and twice differentiable. Heads may be broadcast: q, k, a, b and g may have one head for many
heads of values, and g may have a batch of one.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor


def recurrence_step(
    q: Float[Tensor, "#b #h k"],
    k: Float[Tensor, "#b #h k"],
    v: Float[Tensor, "b h v"],
    state: Float[Tensor, "b h k v"],
    log_decay: Float[Tensor, "#b #h #k"] | None = None,
    a: Float[Tensor, "#b #h k"] | None = None,
    b: Float[Tensor, "#b #h k"] | None = None,
    bonus: Float[Tensor, "h k"] | None = None,
) -> tuple[Float[Tensor, "b h v"], Float[Tensor, "b h k v"]]:
    """One token: its output and the state after it.

    >>> q, k, v = torch.ones(3, 1, 1, 2)
    >>> output, state = recurrence_step(q, k, v, torch.zeros(1, 1, 2, 2))
    >>> output.tolist()
    [[[2.0, 2.0]]]
    """
    written = k.unsqueeze(-1) * v.unsqueeze(-2)
    after = state if log_decay is None else log_decay.exp().unsqueeze(-1) * state
    after = after + written
    if a is not None:
        erased = (a.unsqueeze(-1) * state).sum(-2)  # a^T S
        after = after + (k if b is None else b).unsqueeze(-1) * erased.unsqueeze(-2)
    read = after if bonus is None else state + bonus.unsqueeze(-1) * written
    return (q.unsqueeze(-1) * read).sum(-2), after


def recurrence_loop(
    q: Float[Tensor, "#b #h t k"],
    k: Float[Tensor, "#b #h t k"],
    v: Float[Tensor, "b h t v"],
    log_decay: Float[Tensor, "#b #h t #k"] | None = None,
    a: Float[Tensor, "#b #h t k"] | None = None,
    b: Float[Tensor, "#b #h t k"] | None = None,
    bonus: Float[Tensor, "h k"] | None = None,
    state: Float[Tensor, "b h k v"] | None = None,
) -> tuple[Float[Tensor, "b h t v"], Float[Tensor, "b h k v"]]:
    """The recurrence token by token, from `state` or from zero: outputs and the final state."""
    if state is None:
        state = v.new_zeros(*v.shape[:2], k.shape[-1], v.shape[-1])
    outputs = []
    for i in range(q.shape[2]):
        g_i, a_i, b_i = (None if x is None else x[:, :, i] for x in (log_decay, a, b))
        output, state = recurrence_step(
            q[:, :, i], k[:, :, i], v[:, :, i], state, g_i, a_i, b_i, bonus
        )
        outputs.append(output)
    return torch.stack(outputs, 2), state


def recurrence_chunked(
    q: Float[Tensor, "#b #h t k"],
    k: Float[Tensor, "#b #h t k"],
    v: Float[Tensor, "b h t v"],
    log_decay: Float[Tensor, "#b #h t #k"] | None = None,
    a: Float[Tensor, "#b #h t k"] | None = None,
    b: Float[Tensor, "#b #h t k"] | None = None,
    bonus: Float[Tensor, "h k"] | None = None,
    state: Float[Tensor, "b h k v"] | None = None,
    chunk: int = 32,
) -> tuple[Float[Tensor, "b h t v"], Float[Tensor, "b h k v"]]:
    """The values of `recurrence_loop`, for any t, with a loop over chunks for the state alone.

    Within a chunk, with G the running sum of g, token i sees token j through e^{G_i - G_j}; what
    was erased at i is the solution of a unit triangular system. Across chunks the state obeys
    S' = M S + N, with M and N computed for all chunks at once.

    A log decay per channel must be at least -5 and `chunk` at most 32: its pair weights are
    products e^{G_i - G_m} e^{G_m - G_j} around the chunk's middle m, so that exponents stay within
    5 * chunk / 2 = 80 and fp32 holds them. A decay per head has no such limit.
    """
    length, size = q.shape[2], chunk
    inclusive = torch.ones(size, size, dtype=torch.bool, device=q.device).tril()
    strict = inclusive.tril(-1)
    reading = inclusive if bonus is None else strict
    own = None if bonus is None else (q * k * bonus.unsqueeze(1)).sum(-1, keepdim=True) * v
    q, k, v = _chunks(q, size), _chunks(k, size), _chunks(v, size)

    total = before = after = None  # running log decay: through i, before i, and for the read at i
    k_end, q_start = k, q
    if log_decay is not None:
        log_decay = _chunks(log_decay, size)
        total = log_decay.cumsum(3)
        before = total - log_decay
        after = total if bonus is None else before
        k_end = k * (total[..., -1:, :] - total).exp()
        q_start = q * after.exp()
    keep = None if total is None else total[..., -1:, :].exp().transpose(-1, -2)

    if a is None:
        inside = _pairs(q, k, after, total, reading) @ v
        written = k_end.transpose(-1, -2) @ v
        starts, state = _scan_diagonal(keep, written, state)
        outputs = inside + q_start @ starts
    else:
        a = _chunks(a, size)
        a_start = a if before is None else a * before.exp()
        if b is None:
            from_writes, write_key, write_end = v, k, k_end
        else:
            b = _chunks(b, size)
            write_key = b
            write_end = b if total is None else b * (total[..., -1:, :] - total).exp()
            from_writes = _pairs(a, k, before, total, strict) @ v
        among = _pairs(a, write_key, before, total, strict)
        right = torch.cat([from_writes, a_start.expand(*v.shape[:-1], -1)], -1)
        solved = torch.linalg.solve_triangular(-among, right, upper=False, unitriangular=True)
        inside = _pairs(q, write_key, after, total, reading) @ solved
        carried = write_end.transpose(-1, -2) @ solved
        widths = [v.shape[-1], k.shape[-1]]
        inside, through = torch.split(inside, widths, -1)
        q_start = q_start + through
        written, transition = torch.split(carried, widths, -1)
        if b is not None:
            inside = inside + _pairs(q, k, after, total, reading) @ v
            written = written + k_end.transpose(-1, -2) @ v
        diagonal = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        transition = transition + (diagonal if keep is None else diagonal * keep)
        starts, state = _scan_full(transition, written, state)
        outputs = inside + q_start @ starts
    outputs = outputs.flatten(2, 3)[:, :, :length]
    return outputs if own is None else outputs + own, state


def _chunks(x: Float[Tensor, "b h t k"], size: int) -> Float[Tensor, "b h n c k"]:
    """Time in chunks, with zeros after the end."""
    missing = -x.shape[2] % size
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.reshape(*x.shape[:2], -1, size, x.shape[-1])


def _pairs(
    x: Float[Tensor, "#b #h n c k"],
    y: Float[Tensor, "#b #h n c k"],
    x_total: Float[Tensor, "#b #h n c #k"] | None,
    y_total: Float[Tensor, "#b #h n c #k"] | None,
    seen: Bool[Tensor, "c c"],
) -> Float[Tensor, "b hh n c c"]:
    """x_i . y_j e^{X_i - Y_j} where `seen`, else 0; X and Y are running log decays."""
    if x_total is None or y_total is None:
        return (x @ y.transpose(-1, -2)).masked_fill(~seen, 0.0)
    if x_total.shape[-1] == 1:
        between = (x_total - y_total.transpose(-1, -2)).masked_fill(~seen, -torch.inf).exp()
        return (x @ y.transpose(-1, -2)) * between
    # any reference gives the same product, so no gradient need flow through it
    middle = y_total[..., y_total.shape[-2] // 2 - 1, :].unsqueeze(-2).detach()
    x = x * (x_total - middle).exp()
    y = y * (middle - y_total).exp()
    return (x @ y.transpose(-1, -2)).masked_fill(~seen, 0.0)


def _scan_diagonal(
    keep: Float[Tensor, "#b #h n #k 1"] | None,
    written: Float[Tensor, "b h n k v"],
    state: Float[Tensor, "b h k v"] | None,
) -> tuple[Float[Tensor, "b h n k v"], Float[Tensor, "b h k v"]]:
    """S' = Diag(keep) S + written: the state before each chunk, and after the last."""
    if state is None:
        state = torch.zeros_like(written[:, :, 0])
    if keep is None:
        states = torch.cat([state.unsqueeze(2), written], 2).cumsum(2)
        return states[:, :, :-1], states[:, :, -1]
    starts = []
    for kept, added in zip(keep.unbind(2), written.unbind(2), strict=True):
        starts.append(state)
        state = torch.addcmul(added, kept, state)
    return torch.stack(starts, 2), state


def _scan_full(
    transition: Float[Tensor, "b h n k k"],
    written: Float[Tensor, "b h n k v"],
    state: Float[Tensor, "b h k v"] | None,
) -> tuple[Float[Tensor, "b h n k v"], Float[Tensor, "b h k v"]]:
    """S' = transition S + written: the state before each chunk, and after the last."""
    if state is None:
        state = torch.zeros_like(written[:, :, 0])
    starts, now = [], state.flatten(0, 1)
    for matrix, added in zip(transition.unbind(2), written.unbind(2), strict=True):
        starts.append(now)
        now = torch.baddbmm(added.flatten(0, 1), matrix.flatten(0, 1), now)
    return torch.stack(starts, 1).view_as(written), now.view_as(state)
