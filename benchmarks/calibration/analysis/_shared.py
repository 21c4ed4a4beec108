"""What several questions need: the measures of a stage, groups of genomes, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from palmette.ladder.calibration import Calibration, Fitness, Stage
from palmette.ladder.statistics import CONFIDENCE, Estimate

MEAN = "mean of tasks"
DRAWS = 1000
GROUPS = ("all", "atlas", "sample", "edit")

Floats = npt.NDArray[np.float64]


def measures(stage: Stage) -> dict[str, Fitness]:
    """The fitness of each task by name, and their mean where there are several.

    All are the share of chance's bits that is saved: 0 is chance, 1 is perfect.
    """
    made = {name: stage.saved((name,)) for name in stage.chance}
    return made | ({MEAN: stage.saved()} if len(made) > 1 else {})


def of_group(calibration: Calibration, genome: str, group: str) -> bool:
    """Whether a genome is of a group: all, or those of one origin."""
    return group == "all" or calibration.origins[genome].partition(":")[0] == group


def shared(x: Mapping[str, float], y: Mapping[str, float]) -> tuple[list[str], Floats, Floats]:
    """The keys that both have, in a fixed order, with the values of either."""
    keys = sorted(x.keys() & y.keys())
    return keys, np.array([x[key] for key in keys]), np.array([y[key] for key in keys])


def bootstrapped(
    statistic: Callable[[npt.NDArray[np.int64]], float | None],
    count: int,
    seed: int = 0,
    draws: int = DRAWS,
) -> Estimate | None:
    """A statistic of `count` genomes, given as indices, with its percentile interval.

    Efron (1979): genomes are drawn with replacement; draws in which the statistic is not defined
    are left out. None if it is not defined of all genomes, or in fewer than half of the draws.
    """
    value = statistic(np.arange(count))
    if value is None:
        return None
    rng = np.random.default_rng(seed)
    found = [statistic(rng.integers(count, size=count)) for _ in range(draws)]
    kept = [one for one in found if one is not None and np.isfinite(one)]
    if 2 * len(kept) < draws:
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(kept, [tail, 1 - tail])
    return Estimate(float(value), float(low), float(high))


def ranks(values: Sequence[float] | Floats) -> Floats:
    """Ranks, equal values sharing their mean rank."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values), dtype=float)


def spearman(x: Sequence[float] | Floats, y: Sequence[float] | Floats) -> float | None:
    """Spearman's correlation without an interval; None of fewer than five or a constant side."""
    if len(x) < 5:
        return None
    a, b = ranks(x), ranks(y)
    if a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def reliability(values: Sequence[Sequence[float]] | Floats) -> float | None:
    """How much of the ranks of two-seed means is the genomes' own: Spearman-Brown, 2 r / (1 + r),
    r being the rank correlation between the seeds (Brown 1910; Spearman 1910). None where it is not
    defined or r is not positive.
    """
    x = np.asarray(values, dtype=float)
    r = spearman(x[:, 0], x[:, 1])
    return 2 * r / (1 + r) if r is not None and r > 0 else None
