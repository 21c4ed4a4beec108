"""What does a sweep save that goes on only where its middle rate is good, and whom does it stop?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.calibration.analysis._shared import Floats, spanned
from benchmarks.calibration.replay import PATIENCE
from benchmarks.calibration.stages import RATES
from palmette.ladder.calibration import Calibration, Stage
from palmette.ladder.statistics import Estimate

TITLE = "Sweeps that stop"
NOTE = (
    "First rung of text, genomes in random order. A sweep begins with the middle rate and goes on "
    "only if that reaches this quantile of the middle rates before it (after the first eight). "
    "Saved: share of the processor time of all sweeps. Stopped: share of the genomes, and of the "
    "best quarter by two-seed means. Intervals: bootstrap over genomes."
)
BARS = (0.25, 0.4, 0.5, 0.6, 0.75)
OUTER, INNER = 200, 5  # resamples of genomes; orders of each


@dataclass(frozen=True)
class Row:
    """One quantile."""

    bar: float
    genomes: int
    saved: Estimate
    stopped: Estimate
    stopped_of_the_best_quarter: Estimate


@dataclass(frozen=True)
class Sweeps:
    """The sweeps of a stage's genomes: what the middle rate showed, and what the parts took."""

    shown: Floats
    middle: Floats  # processor seconds
    rest: Floats
    best: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, stage: Stage) -> Sweeps:
        """Of the genomes whose middle rate has ended; seed 0 alone is the sweep's."""
        fitness = stage.saved()
        means = stage.means(fitness)
        limit = np.quantile(list(means.values()), 0.75)
        rows = []
        for genome, mean in sorted(means.items()):
            sweep = [o for o in stage.courses[genome].outcomes if o.seed == 0]
            for own in (o for o in sweep if o.rate == RATES[len(RATES) // 2]):
                rest = sum(o.cpu_seconds for o in sweep) - own.cpu_seconds
                rows.append((fitness(own.select), own.cpu_seconds, rest, mean >= limit))
        shown, middle, rest, best = (np.array(column) for column in zip(*rows, strict=True))
        return cls(shown, middle, rest, best)


def measured(calibration: Calibration) -> list[Row]:
    """A row for every quantile."""
    stage = calibration.stage("text", "1")
    if stage is None:
        return []
    sweeps = Sweeps.of(stage)
    return [_row(sweeps, bar) for bar in BARS]


def _row(sweeps: Sweeps, bar: float) -> Row:
    count, found = len(sweeps.shown), []
    for draw in range(OUTER + 1):
        rng = np.random.default_rng(draw)
        own = np.arange(count) if draw == 0 else rng.integers(count, size=count)
        orders = [rng.permutation(own) for _ in range(INNER * (OUTER if draw == 0 else 1))]
        found.append(np.mean([told(sweeps, order, bar) for order in orders], axis=0))
    point, *draws = np.array(found)
    saved, stopped, best = spanned(point, np.array(draws))
    return Row(bar, count, saved, stopped, best)


def told(sweeps: Sweeps, order: npt.NDArray[np.int64], bar: float) -> tuple[float, float, float]:
    """Shares of the work saved, the genomes stopped, and the best stopped, in one order."""
    shown = sweeps.shown[order]
    stopped = np.zeros(len(order), dtype=bool)
    for place in range(PATIENCE, len(order)):
        stopped[place] = shown[place] < np.sort(shown[:place])[int(bar * place)]
    rest, best = sweeps.rest[order], sweeps.best[order]
    return (
        float(rest[stopped].sum() / (rest.sum() + sweeps.middle[order].sum())),
        float(stopped.mean()),
        float((stopped & best).sum() / max(1, best.sum())),
    )
