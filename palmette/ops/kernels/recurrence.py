"""K1: the linear recurrence that every member of the `lin` family is a special case of.

    S'_t = Diag(e^{g_t}) S_{t-1}                            decay                         S: [k v]
    S_t  = S'_t + b_t (a_t^T S'_t) + k_t v_t^T              erase and write
    o_t  = q_t^T S_t                                        the inclusive read
    o_t  = q_t^T (S_{t-1} + Diag(u) k_t v_t^T)              the exclusive read, u being the bonus

g is the log decay (none, one a head, or one a key channel); a and b erase. Without b the erasure
goes through the key, b = k: S_t = S'_t + k_t (v_t + a_t^T S'_t)^T, which is the delta rule for
v = beta v, a = -beta k, and the cheapest of the erasing forms. Where a paper erases from S_{t-1},
before the decay, a here is e^{-g} times that paper's.

Three forms: `recurrence_step` is the equation, `recurrence_loop` runs it over time, and
`recurrence_chunked` computes the same values chunk by chunk with matrix products (Yang et al.,
arXiv 2406.06484 for the erasure; Dao & Gu, arXiv 2405.21060 for the decay). All three are plain
torch and twice differentiable. Heads may be broadcast: q, k, a, b and g may have one head for many
heads of values, and g may have a batch of one.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
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
    if a is not None:
        erased = (a.unsqueeze(-1) * after).sum(-2)  # a^T S'
        after = after + (k if b is None else b).unsqueeze(-1) * erased.unsqueeze(-2)
    after = after + written
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

    Where nothing is erased 32 is the fastest of 16, 32, 64, where something is 16 (b = 32, h = 2
    and 4, t = 128, k = v = 64 / h, forward and backward on one core of an AVX-512 machine).

    Inputs of less precision than fp32 are computed with in fp32: exponents up to 80 and the
    triangular system need its digits.
    """
    if v.dtype in (torch.bfloat16, torch.float16):
        given = (q, k, v, log_decay, a, b, bonus, state)
        wide = [None if x is None else x.float() for x in given]
        outputs, after = recurrence_chunked(*wide, chunk=chunk)  # type: ignore[arg-type, misc]
        return outputs.to(v.dtype), after.to(v.dtype)
    length = q.shape[2]
    present = None if bonus is None else (q * k * bonus.unsqueeze(1)).sum(-1, keepdim=True) * v
    q, k, v = _chunks(q, chunk), _chunks(k, chunk), _chunks(v, chunk)
    total = read_total = keep = None  # running log decays, and the decay of a whole chunk
    if log_decay is not None:
        log_decay = _chunks(log_decay, chunk)
        total = read_total = log_decay.cumsum(3)
        keep = total[..., -1:, :].exp().transpose(-1, -2)
        if bonus is not None:
            read_total = total - log_decay
    seen = torch.ones(chunk, chunk, dtype=v.dtype, device=v.device).tril()

    row, row_start, weights = _row_factors(total, total, seen)
    column, column_end = _column_factors(total)
    q_row, q_start, q_weights = row, row_start, weights
    last = 0  # a query's own write is the last that it sees
    if bonus is not None:
        last = -1
        q_row, q_start, q_weights = _row_factors(read_total, total, seen.tril(last))
    q, k = _times(q, q_row), _times(k, column)
    q_start, k_end = _times(q, q_start), _times(k, column_end)

    if a is None:
        inside = _pairs(q, k, q_weights, last) @ v
        written = k_end.transpose(-1, -2) @ v
        starts, state = _scan_diagonal(keep, written, state)
    else:
        a = _times(_chunks(a, chunk), row)
        through, through_end, from_writes = k, k_end, v
        if b is not None:
            through = _times(_chunks(b, chunk), column)
            through_end = _times(through, column_end)
            from_writes = _pairs(a, k, weights, -1) @ v
        a_start = _times(a, row_start)
        right = torch.cat([from_writes, a_start.expand(*v.shape[:-1], -1)], -1)
        among = a @ through.transpose(-1, -2)
        # above the diagonal and on it nothing is read, so nothing need be masked there
        solved = _unit_triangular_inverse(_times(among, weights)) @ right
        widths = [v.shape[-1], k.shape[-1]]
        inside, erased = torch.split(_pairs(q, through, q_weights, last) @ solved, widths, -1)
        written, transition = torch.split(through_end.transpose(-1, -2) @ solved, widths, -1)
        q_start = q_start + erased
        if b is not None:
            inside = inside + _pairs(q, k, q_weights, last) @ v
            written = written + k_end.transpose(-1, -2) @ v
        diagonal = torch.eye(k.shape[-1], dtype=k.dtype, device=k.device)
        transition = transition + _times(diagonal, keep)
        starts, state = _scan_full(transition, written, state)
    outputs = (inside + q_start @ starts).flatten(2, 3)[:, :, :length]
    return outputs if present is None else outputs + present, state


def _chunks(x: Float[Tensor, "b h t k"], size: int) -> Float[Tensor, "b h n c k"]:
    """Time in chunks, with zeros after the end."""
    missing = -x.shape[2] % size
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.reshape(*x.shape[:2], -1, size, x.shape[-1])


def _times(x: Float[Tensor, "*shape"], factor: Tensor | None) -> Float[Tensor, "*product"]:
    """x * factor, where there is one."""
    return x if factor is None else x * factor


def _row_factors(
    rows: Float[Tensor, "#b #h n c #k"] | None,
    columns: Float[Tensor, "#b #h n c #k"] | None,
    seen: Float[Tensor, "c c"],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """For x in e^{X_i - Y_j} x_i . y_j: the factor on x, that from there to e^{X_i}, the weights.

    The weights are 1 where a pair is `seen` and 0 elsewhere; a decay per head makes them
    e^{X_i - Y_j}, at most 1. A decay per channel becomes factors on x and on y, without weights.
    """
    if rows is None or columns is None:
        return None, None, seen
    if rows.shape[-1] == 1:
        between = (rows - columns.transpose(-1, -2)).masked_fill(seen == 0.0, -torch.inf)
        return None, rows.exp(), between.exp()
    middle = _middle(columns)
    return (rows - middle).exp(), middle.exp(), None


def _column_factors(
    columns: Float[Tensor, "#b #h n c #k"] | None,
) -> tuple[Tensor | None, Tensor | None]:
    """For y: the factor on y, and that from there to what the chunk's end keeps of it."""
    if columns is None:
        return None, None
    end = columns[..., -1:, :]
    if columns.shape[-1] == 1:
        return None, (end - columns).exp()
    middle = _middle(columns)
    return (middle - columns).exp(), (end - middle).exp()


def _middle(columns: Float[Tensor, "#b #h n c k"]) -> Float[Tensor, "#b #h n 1 k"]:
    return columns[..., columns.shape[-2] // 2 - 1, :].unsqueeze(-2)


def _pairs(
    x: Float[Tensor, "#b #h n c k"],
    y: Float[Tensor, "#b #h n c k"],
    weights: Float[Tensor, "*lead c c"] | None,
    last: int,
) -> Float[Tensor, "b hh n c c"]:
    """x_i . y_j, weighted, for j up to i + last, and 0 beyond.

    Products without weights may be infinite where they are not seen, and are cut off, not
    multiplied, there.
    """
    products = _times(x @ y.transpose(-1, -2), weights)
    return products.tril(last) if weights is None or last < 0 else products


def _unit_triangular_inverse(x: Float[Tensor, "*bhn c c"]) -> Float[Tensor, "*bhn c c"]:
    """(I - x)^-1, x being read below the diagonal alone.

    The inverse and a product take less time than solving for a wide right-hand side.
    """
    identity = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device).expand_as(x)
    return torch.linalg.solve_triangular(  # type: ignore[no-any-return]
        -x, identity, upper=False, unitriangular=True
    )


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
