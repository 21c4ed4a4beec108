"""Schedules replayed on the calibration's table: what would they have cost, and whom kept?

A schedule meets a population of genomes one after another, as one worker of a campaign does. What a
trial costs is what the table says of that very trial. What it shows is the genome's two-seed mean
at that rung plus fresh noise of a seed, so the noise that is in the table counts twice: on the safe
side. The truth is the two-seed mean at the last rung.

The table has a later rung only at the rates that the full sweep sent there; a schedule with a
shorter sweep is given those, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from benchmarks.calibration.stages import RATES
from benchmarks.calibration.table import EARLY, EIGHTHS, STEP
from palmette.ladder.calibration import Course, Fitness, Outcome, Stage
from palmette.ladder.statistics import paired_noise

Floats = npt.NDArray[np.float64]

PATIENCE, LEAST = 8, 3  # as in `pocket`


@dataclass(frozen=True)
class Schedule:
    """How a campaign spends its work.

    rungs      names of the rungs that are climbed; the last one has `seeds` seeds
    eta        one in so many is promoted
    waits      synchronous: every rung is finished before the next begins
    race       after so many eighths of the sweep's trials only the best rate by training loss goes
               on; 0 runs all to their end
    extends    the sweep goes on past an edge
    grid       the sweep's first rates
    gate       after step 100 of the middle rate a genome is dropped unless its loss is in the best
               share `gate` of those before; 1 drops nobody
    bar        the sweep begins with the middle rate and goes on only if that reaches this quantile
               of those before; 0 stops nobody. Whoever is stopped competes with what it has
    rates      how many rates the middle rung takes
    """

    name: str
    rungs: tuple[str, ...] = ("1", "2", "3")
    eta: int = 4
    waits: bool = False
    race: int = 0
    extends: bool = True
    grid: tuple[float, ...] = RATES
    gate: float = 1.0
    bar: float = 0.0
    rates: int = 2
    seeds: int = 2


PLAIN = "plain: three rates at the last rung, no halving"


@dataclass
class Ran:
    """What a replay came to. `finalists` are on the last rung, `pick` is the first of them."""

    seconds: float
    trials: float
    finalists: list[int]
    pick: int


@dataclass(frozen=True)
class Sweep:
    """A genome's first rung under a schedule: what it shows and what it takes."""

    value: float
    seconds: float
    trials: float
    early: float  # loss near step 100 of the middle rate
    early_seconds: float
    middle: float  # what the middle rate alone shows
    middle_seconds: float


@dataclass
class Field:
    """The genomes of the table that ran at every rung, with their truths by rung, and the noise of
    one seed in the better half.
    """

    genomes: tuple[str, ...]
    first: tuple[Course, ...]
    means: dict[str, Floats]
    noise: dict[str, float]
    early_noise: float
    upper: dict[str, tuple[Course, ...]]
    fitness: dict[str, Fitness]
    early_share: float  # of a first-rung trial, up to step 100
    _sweeps: dict[Schedule, list[Sweep]] = field(default_factory=dict)

    @classmethod
    def of(cls, stages: Mapping[str, Stage], fitness: Mapping[str, Fitness]) -> Field | None:
        """The field of these stages, by rung, the lowest first; None of fewer than 8 genomes."""
        values = {rung: stage.values(fitness[rung]) for rung, stage in stages.items()}
        whole = set.intersection(*(set(own) for own in values.values()))
        keys = tuple(sorted(whole))
        lowest = next(iter(stages))
        pairs = [
            [o.early_loss_nats for o in stages[lowest].courses[key].chosen(fitness[lowest])]
            for key in keys
        ]
        noises = {
            rung: paired_noise(sorted(own.values(), key=lambda one: -sum(one))[: len(own) // 2])
            for rung, own in values.items()
        }
        early = paired_noise([[x for x in pair if x is not None] for pair in pairs])
        if len(keys) < 8 or early is None:
            return None
        return cls(
            genomes=keys,
            first=tuple(stages[lowest].courses[key] for key in keys),
            means={r: np.array([np.mean(own[k]) for k in keys]) for r, own in values.items()},
            noise={rung: noise.deviation for rung, noise in noises.items() if noise},
            early_noise=early.deviation,
            upper={r: tuple(stage.courses[k] for k in keys) for r, stage in stages.items()},
            fitness=dict(fitness),
            early_share=EARLY * STEP / stages[lowest].tokens,
        )

    def sweeps(self, schedule: Schedule) -> list[Sweep]:
        """The first rung of every genome under a schedule's rules."""
        if schedule not in self._sweeps:
            fitness = self.fitness[next(iter(self.fitness))]
            self._sweeps[schedule] = [
                swept(c, schedule, fitness, self.early_share) for c in self.first
            ]
        return self._sweeps[schedule]


def swept(course: Course, schedule: Schedule, fitness: Fitness, early_share: float) -> Sweep:
    """A course's sweep, as far as the schedule would have run it.

    What it shows is the two-seed mean at the rate of the full sweep, moved by how much the first
    seed has less at the rate that was chosen.
    """
    own = {o.rate: o for o in course.ranked(fitness)}
    tried = [rate for rate in schedule.grid if rate in own] or list(own)[:1]
    spent = Spent()
    alive = _raced([own[rate] for rate in tried], schedule, spent)
    best = max(alive, key=lambda o: fitness(o.select))
    while schedule.extends and (further := _beyond(best.rate, sorted(tried), own)):
        tried.append(further)
        if schedule.race:
            rivals = _raced([best, own[further]], schedule, spent, paid=best)
        else:
            rivals = [best, own[further]]
            spent.add(own[further], 1.0)
        winner = max(rivals, key=lambda o: fitness(o.select))
        if winner is best:
            break
        best = winner
    whole = course.chosen(fitness)
    mean = float(np.mean([fitness(o.score) for o in whole]))
    middle = own.get(sorted(schedule.grid)[len(schedule.grid) // 2], best)
    early = middle.early_loss_nats
    assert early is not None, "the first rung has a hundredth step"
    unlucky = mean - fitness(whole[0].score)  # of the first seed
    return Sweep(
        value=unlucky + fitness(best.score),
        seconds=spent.seconds,
        trials=spent.trials,
        early=early,
        early_seconds=middle.cpu_seconds * early_share,
        middle=unlucky + fitness(middle.score),
        middle_seconds=middle.cpu_seconds,
    )


@dataclass
class Spent:
    """Work so far; a trial that was stopped counts as the share that it ran."""

    seconds: float = 0.0
    trials: float = 0.0

    def add(self, outcome: Outcome, share: float) -> None:
        self.seconds += share * outcome.cpu_seconds
        self.trials += share


def _raced(
    outcomes: Sequence[Outcome], schedule: Schedule, spent: Spent, paid: Outcome | None = None
) -> list[Outcome]:
    """Who goes on to the end; what it takes is added to `spent`, but for one that is `paid`."""
    going = list(outcomes)
    if schedule.race and len(outcomes) > 1:
        going = [min(outcomes, key=lambda o: o.curve[schedule.race - 1])]
    for outcome in outcomes:
        if outcome is not paid:
            spent.add(outcome, 1.0 if outcome in going else schedule.race / EIGHTHS)
    return going


def _beyond(best: float, tried: Sequence[float], own: dict[float, Outcome]) -> float | None:
    """The next rate past the edge that holds the optimum, if the table has it."""
    if best == tried[-1]:
        return min((rate for rate in own if rate > best), default=None)
    if best == tried[0]:
        return max((rate for rate in own if rate < best), default=None)
    return None


def replay(arena: Field, schedule: Schedule, order: Sequence[int], rng: np.random.Generator) -> Ran:
    """One campaign over the genomes with these indices, in this order.

    An index that comes twice is one genome: it shows the same every time.
    """
    count = len(arena.genomes)
    last = schedule.rungs[-1]
    sweeps = arena.sweeps(schedule)
    shown = {
        rung: arena.means[rung]
        + arena.noise[rung]
        * rng.standard_normal(count)
        / (schedule.seeds**0.5 if rung == last else 1)
        for rung in schedule.rungs
    }
    lowest = schedule.rungs[0]
    first = shown[lowest] - arena.means[lowest] + [s.middle for s in sweeps]
    if lowest == next(iter(arena.fitness)):
        shown[lowest] = shown[lowest] - arena.means[lowest] + [s.value for s in sweeps]
    early = np.array([s.early for s in sweeps]) + arena.early_noise * rng.standard_normal(count)
    climb = _Climb(arena, schedule, sweeps, shown)
    seen: list[float] = []
    begun: list[float] = []
    for genome in order:
        if schedule.gate < 1:
            limit = np.quantile(seen, schedule.gate) if len(seen) >= PATIENCE else np.inf
            seen.append(float(early[genome]))
            if early[genome] > limit:
                climb.spent.seconds += sweeps[genome].early_seconds
                climb.spent.trials += arena.early_share
                continue
        if schedule.bar:
            bar = np.quantile(begun, schedule.bar) if len(begun) >= PATIENCE else -np.inf
            begun.append(float(first[genome]))
            if first[genome] < bar:
                climb.stop(genome, float(first[genome]))
                continue
        climb.enter(genome)
        if not schedule.waits:
            climb.promote(over=False)
    climb.promote(over=True)
    finalists = [genome for genome, _ in climb.finished[-1]]
    pick = max(finalists, key=lambda genome: shown[last][genome])
    return Ran(climb.spent.seconds, climb.spent.trials, finalists, pick)


class _Climb:
    """The ladder of one replay: `palmette.ladder.halving` with results that come at once."""

    def __init__(
        self,
        arena: Field,
        schedule: Schedule,
        sweeps: Sequence[Sweep],
        shown: dict[str, Floats],
    ) -> None:
        self.arena, self.schedule, self.sweeps, self.shown = arena, schedule, sweeps, shown
        self.finished: list[list[tuple[int, float]]] = [[] for _ in schedule.rungs]  # what it shows
        self.risen: list[set[int]] = [set() for _ in schedule.rungs]  # places in `finished`
        self.spent = Spent()

    def enter(self, genome: int) -> None:
        """Runs the first rung of a genome."""
        if self.schedule.rungs[0] == next(iter(self.arena.fitness)):
            self.spent.seconds += self.sweeps[genome].seconds
            self.spent.trials += self.sweeps[genome].trials
        else:
            self._plain(self.schedule.rungs[0], genome, len(self.schedule.grid))
        self._finish(0, genome)

    def stop(self, genome: int, shown: float) -> None:
        """Runs the middle rate of a genome's first rung, and no more of its sweep."""
        self.spent.seconds += self.sweeps[genome].middle_seconds
        self.spent.trials += 1
        self.finished[0].append((genome, shown))

    def promote(self, over: bool) -> None:
        """Promotes whoever may climb, higher rungs first, until nobody may."""
        while self._one(over):
            pass

    def _one(self, over: bool) -> bool:
        for rung in range(len(self.schedule.rungs) - 2, -1, -1):
            own = self.finished[rung]
            quota = len(own) // self.schedule.eta
            if over:
                quota = max(-(-len(own) // self.schedule.eta), LEAST)
            elif rung == 0 and len(own) < PATIENCE:
                quota = 0
            if len(self.risen[rung]) >= quota:
                continue
            best = sorted(range(len(own)), key=lambda place: -own[place][1])[:quota]
            for place in best:
                if place not in self.risen[rung]:
                    self.risen[rung].add(place)
                    self._rise(rung + 1, own[place][0])
                    return True
        return False

    def _rise(self, rung: int, genome: int) -> None:
        schedule = self.schedule
        if rung == len(schedule.rungs) - 1:
            self._plain(schedule.rungs[rung], genome, schedule.seeds)
        else:
            self._plain(schedule.rungs[rung], genome, schedule.rates)
        self._finish(rung, genome)

    def _plain(self, rung: str, genome: int, trials: int) -> None:
        outcomes = self.arena.upper[rung][genome].outcomes
        self.spent.seconds += trials * float(np.mean([o.cpu_seconds for o in outcomes]))
        self.spent.trials += trials

    def _finish(self, rung: int, genome: int) -> None:
        shown = self.shown[self.schedule.rungs[rung]][genome]
        self.finished[rung].append((genome, float(shown)))


def plain(arena: Field, order: Sequence[int], rng: np.random.Generator) -> Ran:
    """The loop without a ladder: three rates on one seed at the last rung for everybody."""
    schedule = Schedule(PLAIN, rungs=(list(arena.fitness)[-1],), seeds=1)
    return replay(arena, schedule, order, rng)


__all__ = ["PLAIN", "Field", "Ran", "Schedule", "plain", "replay", "swept"]
