"""Lorenz: the next measurement of a chaotic system, the model of Lorenz 1996."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import ClassVar, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from palmette.tasks._base import Batch, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

Floats: TypeAlias = npt.NDArray[np.float64]

FIRST_LEVEL = ord("A")
LONGEST_STEP = 0.05  # time units, of the integration
POOL = 512  # states of the long run, side by side
SETTLING = 20.0  # time units until it is on the attractor
SNAPSHOTS = 20  # that the quantiles are taken of
SPIN_UP = 1.0  # time units from a disturbed state back to the attractor


@dataclass(frozen=True)
class Lorenz(Family):
    """Lorenz-96: a few sites of a chaotic ring are measured in turn; say the next measurement.

        >>> task = Lorenz(forcing=8.0, sites=8, step=0.05, watched=2, levels=16)
        >>> print(task.batch(None, np.random.default_rng(1), 1, 48, Split.TRAIN).show())
        GLHMINIOJOKPLOMONMNJNFNCNALAJAHAFAEAEBEBEBECFCGD
        LHMINIOJOKPLOMONMNJNFNCNALAJAHAFAEAEBEBEBECFCGDG

    Sites x_1 ... x_N of a ring follow dx_i/dt = (x_(i+1) - x_(i-2)) x_(i-1) - x_i + F (Lorenz 1996,
    "Predictability: a problem partly solved", ECMWF seminar of 1995, equation 1), integrated with
    the classical fourth-order method in steps of at most 0.05, as there. Every `step` the first
    `watched` sites are measured, one token each: one of `levels` letters, whose bounds are the
    quantiles of a long run. So all letters are equally likely and chance is the logarithm of their
    number. Every token is an answer, and none is certain: there is no oracle.

    Forcings of 8 to 12 and 7 to 12 sites are chaotic: the largest Lyapunov exponent is between 1.2
    and 2.6 for all of them (32 runs of 20 time units each). A start is a state of the long run with
    noise of deviation 1 at each site, a quarter of what x itself has, and one time unit later, so
    no two sequences are alike.
    """

    uncertain: ClassVar[bool] = True

    forcing: float  # F
    sites: int  # N
    step: float  # time units between two measurements of a site
    watched: int  # neighbouring sites that are measured
    levels: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Forcings and sizes at which the system is chaotic, two to four sites."""
        return cls(
            forcing=round(float(rng.uniform(8, 12)), 3),
            sites=int(rng.integers(7, 13)),
            step=round(float(rng.uniform(0.03, 0.08)), 4),
            watched=int(rng.integers(2, 5)),
            levels=16,
        )

    @property
    def answers(self) -> range:
        """The levels, from the lowest to the highest."""
        return range(FIRST_LEVEL, FIRST_LEVEL + self.levels)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh states on the attractor; the splits differ by their generators alone."""
        require_length(self.name, length, 1)
        pool, bounds = _reference(self.forcing, self.sites, self.levels)
        state = pool[rng.integers(0, POOL, rows)] + rng.standard_normal((rows, self.sites))
        state = _integrated(state, self.forcing, SPIN_UP)
        times = -(-(length + 1) // self.watched)
        seen = np.empty((rows, times, self.watched))
        for time in range(times):
            seen[:, time] = state[:, : self.watched]
            state = _integrated(state, self.forcing, self.step)
        levels = FIRST_LEVEL + np.searchsorted(bounds, seen.reshape(rows, -1)).astype(np.int64)
        return Batch(levels[:, :length].copy(), levels[:, 1 : length + 1].copy())


@cache
def _reference(forcing: float, sites: int, levels: int) -> tuple[Floats, Floats]:
    """States [POOL sites] of a long run, and the bounds between equally likely levels."""
    state = forcing + np.random.default_rng(96).standard_normal((POOL, sites))
    state = _integrated(state, forcing, SETTLING)
    held = []
    for _ in range(SNAPSHOTS):
        state = _integrated(state, forcing, SPIN_UP)
        held.append(state)
    bounds = np.quantile(np.concatenate(held), np.arange(1, levels) / levels)
    return state, bounds


def _integrated(state: Floats, forcing: float, time: float) -> Floats:
    """The states [b sites] after `time`, by the fourth-order method of Runge and Kutta."""
    steps = max(1, int(np.ceil(time / LONGEST_STEP - 1e-9)))
    h = time / steps
    around = np.arange(state.shape[1])
    after, before, second = np.roll(around, -1), np.roll(around, 1), np.roll(around, 2)

    def change(x: Floats) -> Floats:
        moved: Floats = (x[:, after] - x[:, second]) * x[:, before] - x + forcing
        return moved

    for _ in range(steps):
        a = change(state)
        b = change(state + h / 2 * a)
        c = change(state + h / 2 * b)
        d = change(state + h * c)
        state = state + h / 6 * (a + 2 * b + 2 * c + d)
    return state
