"""What does a trial cost, and a genome's course?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palmette.ladder.calibration import Calibration

TITLE = "Costs"
NOTE = (
    "Processor seconds of a trial and of a genome's whole course at a stage (rates and seeds), on "
    "the calibration's machine while other work ran beside it. Extended: the share of sweeps that "
    "went on past an edge of their three rates. The later rungs leave out genomes whose first-rung "
    "trials took over eight seconds."
)


@dataclass(frozen=True)
class Row:
    """One stage."""

    stage: str
    parameters: int
    tokens: int
    genomes: int
    failed: int
    trials: int
    seconds_median: float
    seconds_mean: float
    seconds_highest_decile: float
    course_seconds_mean: float
    extended: float | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every stage."""
    made = []
    for stage in calibration.stages.values():
        ran = [course for course in stage.courses.values() if course.outcomes]
        seconds = [o.cpu_seconds for course in ran for o in course.outcomes]
        rates = [len({o.rate for o in course.outcomes if o.seed == 0}) for course in ran]
        sweeps = max(rates, default=0) > 2
        made.append(
            Row(
                stage=stage.name,
                parameters=stage.parameters,
                tokens=stage.tokens,
                genomes=len(ran),
                failed=sum(bool(course.failed) for course in stage.courses.values()),
                trials=len(seconds),
                seconds_median=float(np.median(seconds)),
                seconds_mean=float(np.mean(seconds)),
                seconds_highest_decile=float(np.quantile(seconds, 0.9)),
                course_seconds_mean=float(
                    np.mean([sum(o.cpu_seconds for o in course.outcomes) for course in ran])
                ),
                extended=float(np.mean([number > 3 for number in rates])) if sweeps else None,
            )
        )
    return made
