"""K5: tables that are read by hashes of the last few token ids.

    mix_n(t) = (id_t m_0) xor (id_{t-1} m_1) xor ... xor (id_{t-n+1} m_{n-1})
    row of head j for n = mix_n(t) mod p_{n,j}

with odd multipliers m and a prime p for each table, all different, so that two n-grams that share a
row of one table hardly share those of the others (Engram, arXiv 2601.07372). Before the first token
stands an id that no token has. All tables lie under one another in one matrix.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

MULTIPLIERS = (2654435761, 2246822519, 3266489917, 668265263)  # odd; ids below 2^31 fit 64 bits


@lru_cache(maxsize=1024)
def prime_sizes(least: int, tables: int) -> tuple[int, ...]:
    """The first so many primes from `least` on.

    >>> prime_sizes(20, 4)
    (23, 29, 31, 37)
    """
    found: list[int] = []
    candidate = max(2, least)
    while len(found) < tables:
        if all(candidate % divisor for divisor in range(2, int(candidate**0.5) + 1)):
            found.append(candidate)
        candidate += 1
    return tuple(found)


def hashed_rows_loop(
    ids: Int[Tensor, "b t"], sizes: list[list[int]], before: int
) -> Int[Tensor, "b t tables"]:
    """Token by token: the row of each table, `sizes[n - 2]` being those of the tables of n-grams.

    `before` is the id of what stands before the first token.
    """
    rows = []
    for text in ids.tolist():
        for t in range(len(text)):
            mix = text[t] * MULTIPLIERS[0]
            for back, tables in enumerate(sizes, start=1):
                past = text[t - back] if t >= back else before
                mix ^= past * MULTIPLIERS[back]
                rows += [mix % size for size in tables]
    return torch.tensor(rows, device=ids.device).view(*ids.shape, -1)


def hashed_rows(
    ids: Int[Tensor, "b t"], sizes: list[list[int]], before: int
) -> Int[Tensor, "b t tables"]:
    """The values of `hashed_rows_loop` for all tokens at once.

    >>> hashed_rows(torch.tensor([[5, 7]]), sizes=[[11, 13]], before=9).tolist()
    [[[5, 5], [10, 9]]]
    """
    mix = ids * MULTIPLIERS[0]
    rows = []
    for back, tables in enumerate(sizes, start=1):
        past = F.pad(ids, (back, 0), value=before)[:, : ids.shape[1]]
        mix = mix ^ (past * MULTIPLIERS[back])
        rows.append(mix.unsqueeze(-1) % torch.tensor(tables, device=ids.device))
    return torch.cat(rows, -1)


def lookup_loop(
    tables: Float[Tensor, "rows size"],
    rows: Int[Tensor, "b t tables"],
    sizes: list[list[int]],
) -> Float[Tensor, "b t features"]:
    """Table by table: the rows read, side by side."""
    parts, start = [], 0
    for number, size in enumerate(size for group in sizes for size in group):
        parts.append(tables[start : start + size][rows[..., number]])
        start += size
    return torch.cat(parts, -1)


def lookup(
    tables: Float[Tensor, "rows size"],
    rows: Int[Tensor, "b t tables"],
    sizes: list[list[int]],
) -> Float[Tensor, "b t features"]:
    """The values of `lookup_loop` in one gather."""
    flat = torch.tensor([size for group in sizes for size in group], device=rows.device)
    starts = flat.cumsum(0) - flat
    return F.embedding(rows + starts, tables).flatten(-2)
