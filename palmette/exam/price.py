"""The price of an exam, told before it begins: trials, time, and the smallest effect it can see."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median

from palmette.errors import UserError
from palmette.exam.experience import alike, held_exams, rows_of
from palmette.exam.recipe import Recipe
from palmette.exam.results import TEXT
from palmette.exam.sitting import CARRIED
from palmette.ladder.calibration import calibration
from palmette.ladder.statistics import (
    Noise,
    Pairing,
    detectable_effect,
    difference_deviation,
    paired_noise,
    pairing_pays,
    seeds_needed,
)
from palmette.records import Entry, Hypothesis, Price, Span, StoredExam, StoredTrial
from palmette.store import Store

SUITES = ("wide", "pocket")
WIDEST = 3.0
"""Deviations of one seed's difference: an exam that finds nothing smaller finds nothing."""


@dataclass(frozen=True)
class Spread:
    """What is known of the noise before an exam.

    deviation      of one seed's difference of two entries; None where nothing was measured
    paired         whether entries are compared seed by seed
    correlation    of entries over shared seeds
    source         where all this is known from
    """

    deviation: float | None
    paired: bool
    correlation: Span | None
    source: str


def price(
    entries: Sequence[Entry],
    hypotheses: Sequence[Hypothesis],
    recipe: Recipe,
    tuning: int,
    measured: Sequence[StoredTrial],
    spread: Spread,
) -> Price:
    """What an exam costs at most: all looks, no sweep beyond its grid.

    `tuning` are the trials that tuned baselines still need, `measured` those of the campaign, whose
    seconds are scaled by tokens and parameters.

    Raises `UserError` if it has too few seeds for any verdict, and says how many would do.
    """
    grid = len(recipe.learning_rates)
    planned = {  # a tuned baseline may turn out to be the default, which has its trials already
        (entry.role == "tuned", entry.genome, entry.replica, entry.stretch, rung.name): (
            entry,
            rung,
        )
        for entry in entries
        for rung in recipe.rungs
        if rung == recipe.last or entry.role in CARRIED
    }
    trials = sum(grid + rung.seeds for _, rung in planned.values())
    pace = _Pace.of(measured)
    seconds = None
    if pace is not None:
        sitting = sum(
            (grid + rung.seeds)
            * pace.seconds(entry.genome, round(entry.stretch * rung.tokens) * rung.parameters)
            for entry, rung in planned.values()
        )
        seconds = sitting + tuning * pace.each
    strictest = min((one.alpha for one in hypotheses), default=recipe.q)
    level = strictest * recipe.shares[-1]
    require_seeds(recipe, level, spread.paired)
    deviation = spread.deviation
    return Price(
        trials=trials + tuning,
        worker_seconds=seconds,
        noise=deviation,
        noise_from=spread.source,
        seeds=recipe.seeds,
        detectable=None
        if deviation is None
        else detectable_effect(deviation, recipe.seeds, level, recipe.power, spread.paired),
        power=recipe.power,
        alpha=strictest,
    )


def require_seeds(recipe: Recipe, level: float, paired: bool) -> None:
    """Refuses a recipe whose smallest detectable effect is over three deviations of one seed's
    difference: no two designs are that far apart.

    Raises `UserError`.
    """
    least = detectable_effect(1.0, recipe.seeds, level, recipe.power, paired)
    if least is not None and least <= WIDEST:
        return
    enough = seeds_needed(WIDEST, 1.0, level, recipe.power, paired)
    told = "no difference at all" if least is None else f"only differences above {least:.1f}"
    raise UserError(
        f"{recipe.seeds} seeds are too few for any verdict: at a level of {level:.2g} they show "
        f"{told} deviations of one seed's, and designs are not that far apart; give --looks "
        f"{enough or 'more'}, or more looks that end there"
    )


@dataclass(frozen=True)
class _Pace:
    """Seconds for a token and a parameter, of each genome that was measured and of a usual one."""

    by_genome: dict[str, float]
    usual: float
    each: float  # seconds of a usual trial of the campaign

    @classmethod
    def of(cls, measured: Iterable[StoredTrial]) -> _Pace | None:
        done = [(t.spec, t.result) for t in measured if t.result is not None]
        if not done:
            return None
        rates: dict[str, list[float]] = {}
        for spec, result in done:
            work = spec.tokens * result.parameters
            rates.setdefault(spec.genome, []).append(result.wall_seconds / work)
        by_genome = {genome: min(own) for genome, own in rates.items()}
        return cls(by_genome, median(by_genome.values()), mean(r.wall_seconds for _, r in done))

    def seconds(self, genome: str, work: float) -> float:
        return self.by_genome.get(genome, self.usual) * work


def spread_of(store: Store, exams: Sequence[StoredExam], recipe: Recipe) -> Spread:
    """What is known of the noise: from the newest exam at the same sizes, here or among those that
    ship, or from the calibration.
    """
    for exam in reversed(exams):
        if alike(exam.plan.rungs[-1], recipe.last) and exam.sitting in store.campaigns("exam"):
            rows = rows_of(exam.plan, store.campaign(exam.sitting).trials())
            if spread := _measured(recipe, rows, f"exam {exam.number} of this store"):
                return spread
    for held in reversed([one for one in held_exams() if alike(one.rung, recipe.last)]):
        if spread := _measured(recipe, held.rows, f"an exam of before, in {held.where}"):
            return spread
    return _calibrated(recipe)


def _measured(recipe: Recipe, rows: Sequence[Sequence[float]], source: str) -> Spread | None:
    noise = paired_noise(rows)
    return _spread(recipe, noise, pairing_pays(rows, recipe.seeds), source) if noise else None


def _calibrated(recipe: Recipe) -> Spread:
    """The calibration knows no sealed task; the mean over a search's tasks is the nearest to it."""
    table, rung = calibration(recipe.scale), recipe.last.name
    for suite in SUITES if table else ():
        stage = table.stage(suite, rung) if table else None
        tasks = [task for task in stage.chance if task != TEXT] if stage else []
        noise = table.noise(tasks, rung, suite) if table and tasks else None
        if table and noise is not None:
            source = f"the calibration: the mean of {len(tasks)} tasks of the suite {suite}"
            pairing = table.pairing(tasks, rung, suite, recipe.seeds)
            return _spread(recipe, noise, pairing, source)
    source = "nowhere: no exam at these sizes was held in this store"
    return Spread(None, recipe.paired is not False, None, source)


def _spread(recipe: Recipe, noise: Noise, pairing: Pairing | None, source: str) -> Spread:
    """`noise` is what is left when entries are compared seed by seed."""
    paired = recipe.paired if recipe.paired is not None else pairing is None or pairing.pays
    shared = pairing.correlation if pairing else None
    deviation = difference_deviation(noise)
    if not paired and shared is not None:
        deviation /= math.sqrt(max(1e-6, 1 - shared.value))
    correlation = Span(value=shared.value, low=shared.low, high=shared.high) if shared else None
    return Spread(deviation, paired, correlation, source)
