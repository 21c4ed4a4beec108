"""Lorenz: the next measurement of a chaotic system, the model of Lorenz 1996."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
import numpy.typing as npt

from palmette.tasks._base import Batch, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

Floats = npt.NDArray[np.float64]

FIRST_LEVEL = ord("A")
LONGEST_STEP = 0.05  # of the integration; Lorenz's own, of six hours in the atmosphere's terms
POOL = 512  # states of the reference run
SPIN_UP = 1.0  # time units from a disturbed state back to the attractor


@dataclass(frozen=True)
class Lorenz(Family):
    """Lorenz-96: a few sites of a chaotic ring are measured in turn; say the next measurement."""

    forcing: float
    sites: int
    step: float  # time between two measurements of a site
    watched: int  # neighbouring sites that are measured
    levels: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Forcings and sizes at which the system is chaotic."""
        return cls(
            forcing=round(float(rng.uniform(6, 12)), 3),
            sites=int(rng.integers(6, 13)),
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
        state = self._after(state, SPIN_UP)
        times = -(-(length + 1) // self.watched)
        seen = np.empty((rows, times, self.watched))
        for time in range(times):
            seen[:, time] = state[:, : self.watched]
            state = self._after(state, self.step)
        levels = FIRST_LEVEL + np.searchsorted(bounds, seen.reshape(rows, -1)).astype(np.int64)
        return Batch(levels[:, :length].copy(), levels[:, 1 : length + 1].copy())

    def _after(self, state: Floats, time: float) -> Floats:
        return _integrated(state, self.forcing, time)


@cache
def _reference(forcing: float, sites: int, levels: int) -> tuple[Floats, Floats]:
    """States [POOL sites] of a long run, and the bounds between equally likely levels."""
    rng = np.random.default_rng(96)
    state = forcing + rng.standard_normal((POOL, sites))
    state = _integrated(state, forcing, 20.0)
    held = []
    for _ in range(20):
        state = _integrated(state, forcing, 1.0)
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
