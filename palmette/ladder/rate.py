"""How often something went wrong, and how often it may in truth."""

from __future__ import annotations

from collections.abc import Sequence

from scipy import stats

from palmette.records import BestRow, Rate

SURE = 0.95  # of the bound


def rate(happened: int, cases: int) -> Rate | None:
    """A count with the highest rate that it leaves open; None of no cases.

    The bound is the upper end of the one-sided 95 % interval of Clopper and Pearson (1934, The Use
    of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, Biometrika 26).

    >>> told = rate(0, 10)
    >>> round(told.bound, 3)
    0.259
    """
    if not cases:
        return None
    found = stats.binomtest(happened, cases, alternative="less").proportion_ci(SURE)
    return Rate(happened=happened, cases=cases, bound=float(found.high))


def placebo_rate(rows: Sequence[BestRow], last: str) -> Rate | None:
    """Of a search's placebos on the last rung, how many look like a discovery.

    One does if its whole interval lies above the root's, which is what it is. Placebos that were
    stopped below are not counted, so that the bound is not made small by those that were never
    close. None without one on the last rung, or without intervals there.
    """
    top = [row for row in rows if row.rung == last and row.low is not None and row.high is not None]
    root = next((row.high for row in top if row.role == "root"), None)
    if root is None:
        return None
    lows = [row.low for row in top if row.role == "placebo" and row.low is not None]
    return rate(sum(low > root for low in lows), len(lows))
