"""What several questions need: the measures of a stage, groups of genomes, bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

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


def spanned(point: Floats, draws: Floats) -> list[Estimate]:
    """Figures [k] with the percentiles of their bootstrap draws [n k] (Efron 1979)."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return [Estimate(*map(float, one)) for one in zip(point, low, high, strict=True)]


def reliability(values: Floats) -> Estimate | None:
    """How much of the order of two-seed means is the genomes' own, from values [genomes 2].

    Spearman-Brown, 2 r / (1 + r), r being the rank correlation between the seeds (Brown 1910;
    Spearman 1910), with the percentiles of a bootstrap over genomes (Efron 1979). None for fewer
    than ten genomes.
    """
    if len(values) < 10:
        return None
    drawn = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(_reliable(values[drawn]), [tail, 1 - tail])
    return Estimate(float(_reliable(values)), float(low), float(high))


def _reliable(x: Floats) -> Floats:
    """x [... genomes 2] -> [...]"""
    ranked = rankdata(x, axis=-2)
    centred = ranked - ranked.mean(-2, keepdims=True)
    a, b = centred[..., 0], centred[..., 1]
    r = (a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))
    r = np.maximum(r, 0.0)
    made: Floats = 2 * r / (1 + r)
    return made


def in_ranks(values: Floats) -> list[list[float]]:
    """Values [genomes seeds] as ranks among all of them: of what outliers weigh, order is left."""
    return [list(map(float, row)) for row in rankdata(values).reshape(values.shape)]
