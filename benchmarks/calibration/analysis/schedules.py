"""Which schedule judges the most genomes an hour and still keeps the best one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.calibration.analysis._shared import Floats, spanned
from benchmarks.calibration.analysis.scoring import score_of
from benchmarks.calibration.replay import PLAIN, Field, Ran, Schedule, plain, replay
from palmette.ladder.calibration import Calibration
from palmette.ladder.statistics import Estimate

TITLE = "Schedules"
NOTE = (
    "Replayed on the genomes that ran at all rungs, in random order, with fresh noise. Faster: "
    "genomes judged in an hour of one worker as a multiple of the plain loop's (three rates at the "
    "last rung for everybody). Kept: the probability that the true best, by its two-seed mean at "
    "the last rung, gets there; picked: that it is put first in the end; regret: what the one put "
    "first has less than the best, in deviations of one seed at the last rung. Intervals: "
    "bootstrap over genomes."
)
OUTER, INNER = 40, 15  # resamples of genomes; replays of each
WANTED_SPEED, WANTED_KEPT = 2.5, 0.9

_BASE = Schedule("asynchronous, eta 4")
SCHEDULES: tuple[Schedule, ...] = (
    replace(_BASE, name="asynchronous, eta 2", eta=2),
    replace(_BASE, name="asynchronous, eta 3", eta=3),
    _BASE,
    replace(_BASE, name="asynchronous, eta 8", eta=8),
    replace(_BASE, name="synchronous, eta 2", eta=2, waits=True),
    replace(_BASE, name="synchronous, eta 4", waits=True),
    replace(_BASE, name="synchronous, eta 8", eta=8, waits=True),
    replace(_BASE, name="rungs 1 and 3, eta 4", rungs=("1", "3")),
    replace(_BASE, name="rungs 1 and 3, eta 8", rungs=("1", "3"), eta=8),
    replace(_BASE, name="rungs 2 and 3, eta 4", rungs=("2", "3")),
    replace(_BASE, name="eta 4, one rate at rung 2", rates=1),
    replace(_BASE, name="eta 4, no extension", extends=False),
    replace(_BASE, name="eta 4, race at 3/8", race=3),
    replace(_BASE, name="eta 4, race at 5/8", race=5),
    replace(_BASE, name="eta 2, race at 3/8, one rate at rung 2", eta=2, race=3, rates=1),
    replace(_BASE, name="eta 3, race at 3/8, one rate at rung 2", eta=3, race=3, rates=1),
    replace(_BASE, name="eta 4, race at 3/8, one rate at rung 2", race=3, rates=1),
    replace(_BASE, name="rungs 1 and 3, eta 4, race at 3/8", rungs=("1", "3"), race=3),
    replace(_BASE, name="as pocket: eta 3, sweeps stopped at 1/2", eta=3, bar=0.5),
    replace(_BASE, name="eta 4, sweeps stopped at 1/2", bar=0.5),
    replace(_BASE, name="eta 2, sweeps stopped at 1/2", eta=2, bar=0.5),
    replace(_BASE, name="eta 4, gate: better half at step 100", gate=0.5),
    replace(_BASE, name="eta 4, gate: better 3/4 at step 100", gate=0.75),
    replace(_BASE, name="eta 3, gate 1/2, race at 3/8, one rate", eta=3, gate=0.5, race=3, rates=1),
    replace(_BASE, name="eta 2, gate 1/2, race at 3/8, one rate", eta=2, gate=0.5, race=3, rates=1),
)

LADDERS = {
    "text": ("text",) * 3,
    "wide": ("wide",) * 3,
    "text, then wide": ("text", "wide", "wide"),
}


@dataclass(frozen=True)
class Row:
    """One schedule on one ladder."""

    ladder: str
    schedule: str
    genomes: int
    trials_a_genome: float
    seconds_a_genome: float
    faster: Estimate
    kept: Estimate
    picked: Estimate
    regret: Estimate
    enough: bool


def measured(calibration: Calibration) -> list[Row]:
    """A row for every schedule and ladder, and one for the plain loop."""
    made: list[Row] = []
    for told, suites in LADDERS.items():
        arena = arena_of(calibration, suites)
        if arena is not None:
            made += rows(arena, told, SCHEDULES, OUTER, INNER)
    return made


def arena_of(calibration: Calibration, suites: Sequence[str]) -> Field | None:
    """The genomes of a ladder, whose rungs 1, 2 … train on these suites; None if there are too
    few. Of a mixture the tasks count that tell genomes apart, in units of spread.
    """
    stages = {str(n): calibration.stage(suite, str(n)) for n, suite in enumerate(suites, 1)}
    there = {rung: stage for rung, stage in stages.items() if stage is not None}
    return Field.of(there, {r: score_of(s) for r, s in there.items()}) if stages == there else None


def rows(
    arena: Field,
    ladder: str,
    schedules: Sequence[Schedule],
    outer: int,
    inner: int,
) -> list[Row]:
    """Replays every schedule on the same populations.

    Each of `outer` resamples of the genomes is resampled `inner` times more: the means over inner
    replays are one value of an outer one.
    """
    schedules = [_on(arena, s) for s in schedules if len(_on(arena, s).rungs) > 1]
    names = [PLAIN, *(schedule.name for schedule in schedules)]
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    count = len(arena.genomes)
    truth = arena.means[list(arena.fitness)[-1]]
    unit = arena.noise[list(arena.fitness)[-1]]
    for draw in range(outer + 1):
        rng = np.random.default_rng(draw)
        own = np.arange(count) if draw == 0 else rng.integers(count, size=count)
        told: dict[str, list[list[float]]] = {name: [] for name in names}
        for _ in range(inner * 5 if draw == 0 else inner):
            order = rng.choice(own, size=count).tolist()
            seed = int(rng.integers(2**32))
            base = plain(arena, order, np.random.default_rng(seed))
            told[PLAIN].append(_told(base, base, order, truth, unit))
            for schedule in schedules:
                ran = replay(arena, schedule, order, np.random.default_rng(seed))
                told[schedule.name].append(_told(ran, base, order, truth, unit))
        for name in names:
            found[name].append(np.mean(told[name], axis=0).tolist())
    return [_row(ladder, name, count, found[name]) for name in names]


def _on(arena: Field, schedule: Schedule) -> Schedule:
    """The schedule on those of its rungs that the ladder has."""
    return replace(schedule, rungs=tuple(rung for rung in schedule.rungs if rung in arena.fitness))


def _told(
    ran: Ran,
    base: Ran,
    order: Sequence[int],
    truth: Floats,
    unit: float,
) -> list[float]:
    best = max(order, key=lambda genome: truth[genome])
    return [
        ran.trials / len(order),
        ran.seconds / len(order),
        base.seconds / ran.seconds,
        float(best in ran.finalists),
        float(ran.pick == best),
        float(truth[best] - truth[ran.pick]) / unit,
    ]


def _row(ladder: str, name: str, count: int, found: Sequence[Sequence[float]]) -> Row:
    point, *draws = np.array(found)
    faster, kept, picked, regret = spanned(point, np.array(draws))[2:]
    return Row(
        ladder=ladder,
        schedule=name,
        genomes=count,
        trials_a_genome=float(point[0]),
        seconds_a_genome=float(point[1]),
        faster=faster,
        kept=kept,
        picked=picked,
        regret=regret,
        enough=faster.value >= WANTED_SPEED and kept.value >= WANTED_KEPT,
    )
