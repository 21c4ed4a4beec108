"""Looking early without fooling oneself: planned looks with alpha spending.

Each look spends a part of the error that is left. The nominal level of a look is the p-value that
decides there; it is above the part that was spent, since looks at growing data are correlated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

Spending = Literal["obrien_fleming", "pocock", "cubic"]
Array = NDArray[np.float64]


def _obrien_fleming(t: float, alpha: float) -> float:
    return 2 * float(stats.norm.sf(stats.norm.isf(alpha / 2) / math.sqrt(t)))


def _pocock(t: float, alpha: float) -> float:
    return alpha * math.log1p((math.e - 1) * t)


def _cubic(t: float, alpha: float) -> float:
    return alpha * t**3


SPENDING: dict[Spending, Callable[[float, float], float]] = {
    "obrien_fleming": _obrien_fleming,
    "pocock": _pocock,
    "cubic": _cubic,
}


def spent(alpha: float, looks: Sequence[int], spending: Spending = "cubic") -> tuple[float, ...]:
    """What each look may spend of alpha; the parts sum to alpha.

    `obrien_fleming` and `pocock` are the first two functions of Lan and DeMets (1983, Discrete
    Sequential Boundaries for Clinical Trials, section 3); `cubic` is alpha t^3 of Kim and DeMets
    (1987, Design and Analysis of Group Sequential Tests Based on the Type I Error Spending Rate
    Function), nearly as sparing early and the same share of every alpha. t is the share of the
    last look's seeds.

    Raises:
        ValueError: looks that do not rise, or an alpha outside (0, 0.5].

    >>> [round(part, 4) for part in spent(0.05, (4, 8), "cubic")]
    [0.0063, 0.0438]
    """
    _check(alpha, looks)
    function = SPENDING[spending]
    so_far = [0.0, *(function(look / looks[-1], alpha) for look in looks)]
    return tuple(b - a for a, b in pairwise(so_far))


def shares(looks: Sequence[int], spending: Spending = "cubic") -> tuple[float, ...]:
    """Nominal levels as shares that hold for every alpha.

    The parts spent, over alpha: by Bonferroni's bound the error is at most alpha whatever the looks
    have to do with one another, so for t tests of few seeds as well. `nominal_levels` wins a
    little more from the correlation of looks, but depends on alpha.

    Raises:
        ValueError: looks that do not rise, or a spending whose shares depend on alpha.
    """
    if spending == "obrien_fleming":
        raise ValueError(
            "obrien_fleming spends another share of every alpha; take cubic or pocock, "
            "or nominal_levels(alpha, looks)"
        )
    return tuple(part / 0.05 for part in spent(0.05, looks, spending))


def nominal_levels(
    alpha: float, looks: Sequence[int], spending: Spending = "obrien_fleming"
) -> tuple[float, ...]:
    """One-sided p-values that decide at each look, for an error of alpha over all looks together.

    Scores at looks i < j of the same data are normal with correlation sqrt(n_i / n_j); the chance
    to pass at look k and not before equals what look k spends. It is integrated step by step
    (Armitage, McPherson and Rowe 1969, Repeated Significance Tests on Accumulating Data; Jennison
    and Turnbull 2000, Group Sequential Methods, chapter 19), since SciPy's multivariate normal is
    drawn at random and too coarse for small alphas. Levels made for normal scores are applied to
    p-values of t tests (the significance-level approach: Pocock 1977, Group Sequential Methods in
    the Design and Analysis of Clinical Trials). With a first look at four seeds the error measured
    is given in tests/ladder/statistics/test_looks.py.

    Raises:
        ValueError: looks that do not rise, or an alpha outside (0, 0.5].
    """
    parts = spent(alpha, looks, spending)
    levels: list[float] = []
    # Brownian motion at information n: sums s with variance n; `density` [grid] of those that go on
    grid, density, width = np.zeros(1), np.ones(1), np.ones(1)
    before = 0
    for look, part in zip(looks, parts, strict=True):
        step = math.sqrt(look - before)
        weight = density * width

        def passed(
            bound: float,
            grid: Array = grid,
            weight: Array = weight,
            step: float = step,
        ) -> float:
            return float(weight @ stats.norm.sf((bound - grid) / step))

        reach = 12 * math.sqrt(look)
        if part < 1e-14 or passed(reach) >= part:
            bound = reach
        else:
            bound = float(brentq(lambda b: passed(b) - part, -reach, reach, xtol=1e-12))  # noqa: B023
        levels.append(float(stats.norm.sf(bound / math.sqrt(look))))
        points, legendre = np.polynomial.legendre.leggauss(400)
        lowest = -reach
        new = (bound - lowest) / 2 * points + (bound + lowest) / 2
        density = stats.norm.pdf((new[:, None] - grid) / step) @ weight / step
        grid, width, before = new, (bound - lowest) / 2 * legendre, look
    return tuple(levels)


def _check(alpha: float, looks: Sequence[int]) -> None:
    if not 0 < alpha <= 0.5:
        raise ValueError(f"alpha must lie in (0, 0.5], got {alpha}")
    rising = all(a < b for a, b in pairwise(looks))
    if not looks or looks[0] < 1 or not rising:
        raise ValueError(f"looks are rising numbers of seeds, got {tuple(looks)}")
