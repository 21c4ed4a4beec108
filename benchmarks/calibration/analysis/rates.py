"""How much sweeping does a genome need?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.calibration.analysis._shared import MEAN, measures
from benchmarks.calibration.replay import Schedule, Sweep, swept
from benchmarks.calibration.stages import RATES
from palmette.ladder.calibration import Calibration, Stage
from palmette.ladder.statistics import Estimate, mean_interval, paired_noise, share

TITLE = "Learning rates"
NOTE = (
    "Ways to sweep the rates of the first rung, against three rates with extension past an edge. "
    "Same: how often the rate is the same. Lost: the mean score lost on `score`, in deviations of "
    "one seed in the better half (below 0 it is gained by luck). Seconds: of a genome's sweep. A "
    "race stops all rates but the one with the lowest training loss in that eighth of the trial."
)

_WHOLE = Schedule("three rates, extended")
WAYS: tuple[Schedule, ...] = (
    _WHOLE,
    replace(_WHOLE, name="three rates", extends=False),
    replace(_WHOLE, name="the upper two", extends=False, grid=RATES[1:]),
    *(replace(_WHOLE, name=f"{rate:g} alone", extends=False, grid=(rate,)) for rate in RATES),
    *(replace(_WHOLE, name=f"race at {n}/8, extended", race=n) for n in (2, 3, 4, 5, 6)),
    *(replace(_WHOLE, name=f"race at {n}/8", race=n, extends=False) for n in (2, 3, 4, 5, 6)),
    *(
        replace(_WHOLE, name=f"the upper two, race at {n}/8", race=n, extends=False, grid=RATES[1:])
        for n in (3, 5)
    ),
)


@dataclass(frozen=True)
class Row:
    """One way to sweep, at one stage."""

    stage: str
    way: str
    genomes: int
    trials_a_genome: float
    seconds_a_genome: float
    same: Estimate | None
    lost: Estimate | None
    lost_better_half: Estimate | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every way, at each first rung."""
    made = []
    for suite in ("text", "wide"):
        stage = calibration.stage(suite, "1")
        if stage is not None and len(stage.values(stage.saved())) >= 10:
            made += _rows(stage)
    return made


def _rows(stage: Stage) -> list[Row]:
    fitness = measures(stage).get(MEAN) or stage.saved()
    values = stage.values(fitness)
    ranked = sorted(values.values(), key=lambda own: -sum(own))
    noise = paired_noise(ranked[: len(ranked) // 2])
    assert noise is not None, "five genomes with two seeds have a noise"
    courses = [
        course for course in (stage.courses[genome] for genome in values) if not course.failed
    ]
    found = {way.name: [swept(c, way, fitness, 0.0) for c in courses] for way in WAYS}
    whole = np.array([sweep.value for sweep in found[_WHOLE.name]])
    better = whole >= np.median(whole)

    def row(name: str, own: list[Sweep]) -> Row:
        lost = (whole - np.array([sweep.value for sweep in own])) / noise.deviation
        return Row(
            stage=stage.name,
            way=name,
            genomes=len(own),
            trials_a_genome=float(np.mean([sweep.trials for sweep in own])),
            seconds_a_genome=float(np.mean([sweep.seconds for sweep in own])),
            same=share(int((np.abs(lost) < 1e-9).sum()), len(own)),
            lost=mean_interval(lost.tolist()),
            lost_better_half=mean_interval(lost[better].tolist()),
        )

    return [row(name, own) for name, own in found.items()]
