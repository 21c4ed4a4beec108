"""What tasks share: blank rows, distinct draws, packed strings, strings to extrapolate to."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from palmette.tasks._base import IGNORE, Ints, Marker


def blank(rows: int, length: int) -> tuple[Ints, Ints]:
    """Inputs of PAD alone, and targets that ask for nothing, both [b t]."""
    inputs = np.full((rows, length), int(Marker.PAD), dtype=np.int64)
    return inputs, np.full((rows, length), IGNORE, dtype=np.int64)


def distinct(rng: np.random.Generator, rows: int, symbols: int, count: int) -> Ints:
    """[b count] numbers below `symbols`, none twice in a row."""
    return np.argsort(rng.random((rows, symbols)), axis=1)[:, :count]


def packed_starts(
    rng: np.random.Generator, rows: int, length: int, shortest: int, longest: int
) -> npt.NDArray[np.bool_]:
    """[b t] True where a string begins, with its RESET; the last one of a row may be cut short.

    Strings have `shortest` to `longest` symbols, the logarithm of their size being uniform: on
    short strings a rule is learned first.
    """
    most = length // (shortest + 1) + 1
    low, high = np.log(shortest), np.log(longest + 1)
    sizes = np.exp(rng.uniform(low, high, (rows, most))).astype(np.int64) + 1  # with its RESET
    begins = np.minimum(np.cumsum(sizes, axis=1), length)
    starts = np.zeros((rows, length + 1), dtype=bool)  # what lies past the row falls on its end
    np.put_along_axis(starts, begins, True, axis=1)
    starts[:, 0] = True
    return starts[:, :length]


def one_start(rows: int, length: int) -> npt.NDArray[np.bool_]:
    """[b t] True at the first token of each row alone: one string a row."""
    starts = np.zeros((rows, length), dtype=bool)
    starts[:, 0] = True
    return starts


def prefix_buckets(ends: tuple[int, ...], rows: int, length: int) -> Ints:
    """[b t] for each position the first of `ends` that its prefix does not exceed."""
    upper = np.array(ends)
    return np.broadcast_to(upper[np.searchsorted(upper[:-1], np.arange(length))], (rows, length))
