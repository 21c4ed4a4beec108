"""Looking early without fooling oneself: planned looks with alpha spending.

Each look spends a part of the error that is left. The nominal level of a look is the p-value that
decides there; it is above the part that was spent, since looks at growing data are correlated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats
from scipy.optimize import brentq

Spending = Literal["obrien_fleming", "pocock", "cubic"]
Array = NDArray[np.float64]
GRID = 400
MOST_SEEDS = 100  # up to which the grid is fine enough
FAR = 9.0  # ratios beyond have no mass to speak of


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

    Made for Student's t of one sample, so for a paired contrast, at any number of seeds. The usual
    levels, made for normal scores and used on t tests (the significance-level approach of Pocock
    1977, Group Sequential Methods in the Design and Analysis of Clinical Trials), spend up to a
    seventh too much here: t statistics of four to twelve seeds are less alike from look to look
    than scores are. So the chance to pass at look k and not before is computed for t itself
    (Jennison and Turnbull 1991, Exact Calculations for Sequential t, chi^2 and F Tests).
    Welch's t of alike deviations has more degrees of freedom and spends a little less than alpha;
    for unlike ones see `contrast`.

    Of n values with sum S and sum of squares Q, the ratio u = S / sqrt(Q) is free of scale; under
    the hypothesis it is independent of Q (Basu 1955), so u is a Markov chain: one more value makes
    it u cos(f) + sin(f), where the angle f has density in proportion to cos(f)^(n - 1).

    Raises:
        ValueError: looks that do not rise, begin below two seeds or go beyond a hundred, or an
            alpha outside (0, 0.5].
    """
    if looks and looks[-1] > MOST_SEEDS:
        raise ValueError(
            f"levels are computed for at most {MOST_SEEDS} seeds, got {looks[-1]}; "
            "take shares(looks)"
        )
    return _levels(alpha, tuple(looks), spending)


@cache
def _levels(alpha: float, looks: tuple[int, ...], spending: Spending) -> tuple[float, ...]:
    first, *rest = spent(alpha, looks, spending)
    levels = [first]
    edges = _edges(looks[0], _ratio(first, looks[0]))
    freedom = looks[0] - 1
    with np.errstate(divide="ignore"):  # the lowest edge is minus infinity
        t = edges * math.sqrt(freedom) / np.sqrt(np.maximum(looks[0] - edges**2, 0.0))
    ratio, mass = _middles(edges), np.diff(special.stdtr(freedom, t))
    for seeds in range(looks[0] + 1, looks[-1] + 1):
        highest = min(math.sqrt(seeds), FAR)
        if seeds in looks:
            level = _level(rest[len(levels) - 1], ratio, mass, seeds)
            levels.append(level)
            highest = _ratio(level, seeds)
        if seeds < looks[-1]:
            edges = _edges(seeds, highest)
            above = mass @ _beyond(edges, ratio[:, None], seeds)
            ratio, mass = _middles(edges), np.maximum(above[:-1] - above[1:], 0.0)
    return tuple(levels)


def _edges(seeds: int, highest: float) -> Array:
    """Ratios from the lowest up to this one, evenly spaced in the angle whose sine they are."""
    root = math.sqrt(seeds)
    lowest = -math.asin(min(1.0, FAR / root))
    angles = np.linspace(lowest, math.asin(min(1.0, highest / root)), GRID + 1)
    made: Array = root * np.sin(angles)
    return made


def _middles(edges: Array) -> Array:
    made: Array = (edges[1:] + edges[:-1]) / 2
    return made


def _beyond(bound: Array, ratio: Array, seeds: int) -> Array:
    """The chance that the ratio is above a bound after `seeds` values, from one value before."""
    reach, turn = np.sqrt(1 + ratio**2), np.arctan(ratio)
    angle = np.arcsin(np.clip(bound / reach, -1, 1))
    edge = math.pi / 2
    low, high = np.clip(angle - turn, -edge, edge), np.clip(math.pi - angle - turn, -edge, edge)
    freedom = seeds - 1
    scale = math.sqrt(freedom)
    made: Array = special.stdtr(freedom, -scale * np.tan(low))
    made = made - special.stdtr(freedom, -scale * np.tan(high))
    return np.maximum(made, 0.0)


def _level(part: float, ratio: Array, mass: Array, seeds: int) -> float:
    """The p-value at which so much passes."""

    def excess(logarithm: float) -> float:
        bound = np.array(_ratio(math.exp(logarithm), seeds))
        return float(mass @ _beyond(bound, ratio, seeds)) - part

    lowest, highest = math.log(part) - 1e-3, math.log(0.999)
    if excess(lowest) >= 0:
        return math.exp(lowest)
    return math.exp(float(brentq(excess, lowest, highest, xtol=1e-10)))


def _ratio(p: float, seeds: int) -> float:
    """S / sqrt(Q) at which Student's t has this one-sided p."""
    t = -float(special.stdtrit(seeds - 1, p))
    return t * math.sqrt(seeds) / math.sqrt(seeds - 1 + t * t)


def _check(alpha: float, looks: Sequence[int]) -> None:
    if not 0 < alpha <= 0.5:
        raise ValueError(f"alpha must lie in (0, 0.5], got {alpha}")
    rising = all(a < b for a, b in pairwise(looks))
    if not looks or looks[0] < 2 or not rising:
        raise ValueError(
            f"looks are rising numbers of seeds, the first at least 2, got {tuple(looks)}"
        )
