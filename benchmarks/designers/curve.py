"""Quality against effort: does it rise, does it level off? Three forms, weighed by AICc.

    constant     a
    line         a + b (s - 1)
    saturating   a + b (1 - exp(-(s - 1) / tau))

s counts designer steps from 1. Errors are taken as normal and equal; one value a proposal, never a
mean. A form's weight is its share of exp(-AICc / 2). Intervals are the middle 95 % of refits to
proposals drawn anew within each s.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeWarning, curve_fit

Array = NDArray[np.float64]
REFITS = 1000
LEAST = 7  # proposals, so that three parameters and a variance leave something over
TAUS = (0.05, 20.0)  # steps: a saturation that is over at once, one that is a line here


def constant(s: Array, a: float) -> Array:
    return np.full_like(s, a)


def line(s: Array, a: float, b: float) -> Array:
    return a + b * (s - 1)


def saturating(s: Array, a: float, b: float, tau: float) -> Array:
    return a + b * (1 - np.exp(-(s - 1) / tau))


@dataclass(frozen=True)
class Curve:
    """A form with the bounds and the beginnings of its fit."""

    name: str
    of: Callable[..., Array]
    begins: tuple[tuple[float, ...], ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def fit(self, s: Array, quality: Array) -> Array:
        """The parameters of least squares, the best from several beginnings."""
        found = []
        for begin in self.begins:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)
                values, _ = curve_fit(self.of, s, quality, begin, bounds=(self.low, self.high))
            found.append((float(((quality - self.of(s, *values)) ** 2).sum()), values))
        return np.asarray(min(found, key=lambda pair: pair[0])[1])


_FREE = float("inf")
CURVES = (
    Curve("constant", constant, ((0.0,),), (-_FREE,), (_FREE,)),
    Curve("line", line, ((0.0, 0.0),), (-_FREE,) * 2, (_FREE,) * 2),
    Curve(
        "saturating",
        saturating,
        tuple((0.0, 0.0, tau) for tau in (0.3, 1.0, 4.0)),
        (-_FREE, -_FREE, TAUS[0]),
        (_FREE, _FREE, TAUS[1]),
    ),
)


@dataclass(frozen=True)
class Fitted:
    """A form as fitted: parameters with intervals, AICc and its weight among the forms."""

    curve: Curve
    values: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    aicc: float
    weight: float


def fitted(quality: Mapping[int, Sequence[float]], refits: int = REFITS) -> list[Fitted]:
    """All forms fitted to the qualities of proposals by their number of steps.

    Raises `ValueError` if there are too few of them.
    """
    s, y = _flat(quality)
    if len(quality) < 2 or len(y) < LEAST:
        raise ValueError(
            f"wanted two numbers of steps and {LEAST} proposals, got {len(y)} proposals"
        )
    rng = np.random.default_rng(0)
    again = [_flat(_redrawn(quality, rng)) for _ in range(refits)]
    scores = [_aicc(curve, curve.fit(s, y), s, y) for curve in CURVES]
    shares = np.exp(-(np.array(scores) - min(scores)) / 2)
    result = []
    for curve, score, weight in zip(CURVES, scores, shares / shares.sum(), strict=True):
        draws = np.array([curve.fit(*one) for one in again])
        ends = np.percentile(draws, (2.5, 97.5), axis=0).T
        intervals = tuple((float(low), float(high)) for low, high in ends)
        values = tuple(float(value) for value in curve.fit(s, y))
        result.append(Fitted(curve, values, intervals, score, float(weight)))
    return result


def _flat(quality: Mapping[int, Sequence[float]]) -> tuple[Array, Array]:
    pairs = [(s, value) for s, values in sorted(quality.items()) for value in values]
    return np.array([s for s, _ in pairs], float), np.array([value for _, value in pairs], float)


def _redrawn(
    quality: Mapping[int, Sequence[float]], rng: np.random.Generator
) -> dict[int, list[float]]:
    return {s: list(rng.choice(values, len(values))) for s, values in quality.items()}


def _aicc(curve: Curve, values: Array, s: Array, y: Array) -> float:
    """Akaike's criterion, corrected for few data (Hurvich and Tsai 1989); the variance counts."""
    n, k = len(y), len(values) + 1
    residual = float(((y - curve.of(s, *values)) ** 2).mean())
    return n * float(np.log(max(residual, 1e-30))) + 2 * k + 2 * k * (k + 1) / (n - k - 1)
