"""How often nothing was called something: placebos over all exams of a store, with a bound."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from scipy import stats

from palmette.records import Rate, StoredExam

CONFIDENCE = 0.95


def bound(happened: int, cases: int) -> Rate | None:
    """So many of so many cases, with the highest rate that this leaves open; None of no cases.

    The upper end of a one-sided 95 % interval (Clopper and Pearson 1934, The Use of Confidence or
    Fiducial Limits Illustrated in the Case of the Binomial).

    >>> round(bound(0, 10).bound, 3)
    0.259
    """
    if cases == 0:
        return None
    test = stats.binomtest(happened, cases, alternative="less")
    high = float(test.proportion_ci(CONFIDENCE, method="exact").high)
    return Rate(happened=happened, cases=cases, bound=high)


def placebo_rate(exams: Iterable[StoredExam]) -> Rate | None:
    """How many placebos of all finished exams were verified; None if none has sat.

    A placebo is one case, in however many leagues it competed: what becomes of it there is no
    independent matter.
    """
    verified: dict[tuple[int, str], bool] = defaultdict(bool)
    for exam in exams:
        if exam.state == "finished":
            for verdict in exam.placebos:
                verified[exam.number, verdict.hypothesis.candidate] |= verdict.verified
    return bound(sum(verified.values()), len(verified))
