"""Standard deviations between seeds, with the degrees of freedom that they rest on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Noise:
    """A standard deviation between seeds and the degrees of freedom that it rests on."""

    deviation: float
    freedom: int

    def of_mean(self, seeds: int) -> Noise:
        """That of a mean over so many seeds."""
        return Noise(self.deviation / math.sqrt(seeds), self.freedom)


def pooled_noise(groups: Sequence[Sequence[float]]) -> Noise | None:
    """The pooled within-group standard deviation; None where no group has two values.

    >>> pooled_noise([[1.0, 3.0], [5.0, 5.0]])
    Noise(deviation=1.0, freedom=2)
    """
    spread = sum(float(np.var(g)) * len(g) for g in groups if len(g) > 1)
    freedom = sum(len(g) - 1 for g in groups if len(g) > 1)
    return Noise(math.sqrt(spread / freedom), freedom) if freedom else None


def paired_noise(rows: Sequence[Sequence[float]]) -> Noise | None:
    """The residual standard deviation of rows (genomes) by columns (the seeds that all share).

    What a seed does to all genomes alike is taken out, since it drops out of every difference:
    the error of a two-way layout without replication (Montgomery, Design and Analysis of
    Experiments, section 4.1), with (rows - 1)(columns - 1) degrees of freedom. None for fewer than
    two rows or columns.

    >>> paired_noise([[1.0, 2.0], [5.0, 6.0]])
    Noise(deviation=0.0, freedom=1)
    """
    x = np.asarray(rows, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2:
        return None
    residual = x - x.mean(1, keepdims=True) - x.mean(0, keepdims=True) + x.mean()
    freedom = (x.shape[0] - 1) * (x.shape[1] - 1)
    return Noise(math.sqrt(float((residual**2).sum()) / freedom), freedom)
