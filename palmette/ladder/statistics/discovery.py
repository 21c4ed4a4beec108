"""False discoveries over the life of a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy import special, stats

EXPONENT = 1.6


def gamma(number: int) -> float:
    """The share of q that hypothesis `number` (from 1) has: number^-1.6 / zeta(1.6).

    The shares sum to 1 over all numbers. LOND holds for any such series; a power just above 1
    leaves most for later, a larger one spends at once. A store sends a handful of hypotheses to
    each of a few exams: at 1.6 the first has 0.44 of q, the tenth 0.011, and 0.12 of q is left
    after twenty.
    """
    assert number >= 1, "hypotheses are numbered from 1"
    return float(number**-EXPONENT / special.zeta(EXPONENT))


def lond_levels(q: float, rejected: Sequence[bool | None], ahead: int = 0) -> float:
    """The level of the next hypothesis after these: q gamma_i (discoveries so far + 1).

    `rejected` holds what became of all earlier ones, in order; None for those not yet judged.
    `ahead` counts further ones that are sent at the same time and stand before this one: they
    take numbers, and like those not yet judged they add no discovery.

    LOND, Javanmard and Montanari (2018, Online Rules for Control of False Discovery Rate and False
    Discovery Exceedance, equation 3): false-discovery rate at most q at every time, if p-values are
    independent. Zrnic, Ramdas and Jordan (2021, Asynchronous Online Testing of Multiple
    Hypotheses) show it for positive dependence (PRDS), as shared baselines make it, and for
    hypotheses whose levels are set before others are judged, as within one exam.

    Raises:
        ValueError: a q outside (0, 1).

    >>> first = lond_levels(0.1, [])
    >>> round(first, 4), round(lond_levels(0.1, [True]) / first, 3)
    (0.0437, 0.66)
    """
    if not 0 < q < 1:
        raise ValueError(f"a false-discovery rate lies between 0 and 1, got {q}")
    discoveries = sum(outcome is True for outcome in rejected)
    return q * gamma(len(rejected) + ahead + 1) * (discoveries + 1)


def benjamini_hochberg(ps: Sequence[float], q: float) -> list[bool]:
    """Which hypotheses of one batch are discoveries, at a false-discovery rate of q.

    Benjamini and Hochberg (1995, Controlling the False Discovery Rate); for independent or
    positively dependent p-values.
    """
    return _batch(ps, q, "bh")


def benjamini_yekutieli(ps: Sequence[float], q: float) -> list[bool]:
    """As `benjamini_hochberg`, whatever the dependence.

    Benjamini and Yekutieli (2001, The Control of the False Discovery Rate in Multiple Testing under
    Dependency, theorem 1.3).
    """
    return _batch(ps, q, "by")


def _batch(ps: Sequence[float], q: float, method: Literal["bh", "by"]) -> list[bool]:
    if not ps:
        return []
    adjusted = np.atleast_1d(stats.false_discovery_control(ps, method=method))
    return [bool(p <= q) for p in adjusted]
