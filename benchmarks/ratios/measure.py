"""Measuring two sides beside each other: interleaved pairs, their median ratio and its interval."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from statistics import median

QUIET = 0.97
"""The share of wall time that a side must have been running for, for the machine to be quiet."""
LEAST_SECONDS = 0.02
"""A reading takes at least this long: a shorter run is repeated within it."""


@dataclass(frozen=True)
class Reading:
    """What one run of a side took, in seconds (or bytes, and both fields the same)."""

    wall: float
    process: float


Side = Callable[[], Reading]


@dataclass(frozen=True)
class Pair:
    """One run of each side, one straight after the other."""

    ours: Reading
    theirs: Reading


@dataclass(frozen=True)
class Interval:
    """A median with the order statistics around it that hold it with probability `coverage`."""

    median: float
    low: float
    high: float
    coverage: float


def interleave(ours: Side, theirs: Side, pairs: int) -> list[Pair]:
    """Runs the sides in turn, ours first in every other pair."""
    taken = []
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for number in range(pairs):
            if number % 2:
                other, own = theirs(), ours()
            else:
                own, other = ours(), theirs()
            taken.append(Pair(own, other))
    finally:
        if collecting:
            gc.enable()
    return taken


def timed(run: Callable[[], object], warm_ups: int = 2) -> Side:
    """A side that runs in this process, as often in a reading as takes `LEAST_SECONDS`."""
    for _ in range(warm_ups):
        run()
    began = time.perf_counter()
    run()
    times = max(1, round(LEAST_SECONDS / max(time.perf_counter() - began, 1e-7)))

    def side() -> Reading:
        process, wall = time.process_time(), time.perf_counter()
        for _ in range(times):
            run()
        wall, process = time.perf_counter() - wall, time.process_time() - process
        return Reading(wall / times, process / times)

    return side


def clock(pairs: Sequence[Pair]) -> str:
    """'wall' if nothing else kept the sides from running, 'process' on a busy machine."""
    for side in ("ours", "theirs"):
        readings = [getattr(pair, side) for pair in pairs]
        if sum(r.process for r in readings) < QUIET * sum(r.wall for r in readings):
            return "process"
    return "wall"


def ratios(pairs: Sequence[Pair], by: str) -> list[float]:
    """Theirs over ours, a value a pair."""
    return [getattr(pair.theirs, by) / getattr(pair.ours, by) for pair in pairs]


def interval(values: Sequence[float], wanted: float = 0.95) -> Interval:
    """The median of independent values, and the narrowest order statistics that hold it.

    The k-th smallest and the k-th largest of n values have the median of their distribution between
    them with probability 1 - 2 P(Binomial(n, 1/2) < k), whatever the distribution. Of few values
    the smallest and the largest are taken, with the coverage that they have: 0.75 of three.

    >>> interval([3.0, 1.0, 2.0])
    Interval(median=2.0, low=1.0, high=3.0, coverage=0.75)
    """
    ordered = sorted(values)
    n = len(ordered)

    def coverage(k: int) -> float:
        return 1 - 2 * sum(comb(n, i) for i in range(k)) / 2**n

    fitting = [k for k in range(1, (n + 1) // 2 + 1) if coverage(k) >= wanted]
    k = max(fitting, default=1)
    return Interval(median(ordered), ordered[k - 1], ordered[n - k], max(0.0, coverage(k)))
