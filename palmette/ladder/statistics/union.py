"""Better than every baseline: the intersection-union test."""

from __future__ import annotations

from collections.abc import Sequence


def intersection_union(ps: Sequence[float]) -> float:
    """One p for "better than all of them": the largest p.

    Berger (1982, Multiparameter Hypothesis Testing and Acceptance Sampling, theorem 1): each test
    at level alpha, all must reject, and the size is at most alpha however the tests depend on one
    another. It reaches alpha where one baseline is equal and all others are far behind.

    Raises:
        ValueError: no p at all.

    >>> intersection_union([0.01, 0.2, 0.03])
    0.2
    """
    if not ps:
        raise ValueError("better than every baseline wants at least one baseline")
    return max(ps)
