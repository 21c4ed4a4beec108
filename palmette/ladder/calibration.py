"""What the calibration measured: how noisy a score is, and what a rung says of the next.

The table that ships (`palmette/data/calibration/pocket.json.gz`) holds every trial of the
calibration in a short form; `benchmarks/calibration` makes and analyses it. It knows the tasks that
a search may see, and no others.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from palmette.errors import UserError
from palmette.ladder.statistics import Noise, Pairing, paired_noise, pairing_pays
from palmette.tasks import TASKS

FORMAT = 1
Fitness = Callable[[Mapping[str, float]], float]  # bits an answer token by task -> a score


@dataclass(frozen=True)
class Outcome:
    """One finished trial. Bits are per answer token; `seed` counts from 0 within its stage.

    select, score      bits by task on either split
    accuracy           by task, on `score`
    early_loss_nats    training loss around the hundredth step; None of shorter trials
    curve              training loss in nats, the means of eighths of the trial
    """

    rate: float
    seed: int
    select: Mapping[str, float]
    score: Mapping[str, float]
    accuracy: Mapping[str, float]
    early_loss_nats: float | None
    curve: tuple[float, ...]
    cpu_seconds: float


@dataclass(frozen=True)
class Course:
    """All trials of one genome at a stage; `failed` are the rates at which a seed failed."""

    genome: str
    parameters: int | None
    fits: bool
    flops_forward: float | None
    flops_train: float | None
    state_bytes: int | None
    outcomes: tuple[Outcome, ...]
    failed: tuple[float, ...]
    reason: str | None  # why, of the first that failed

    def ranked(self, fitness: Fitness, seed: int = 0) -> list[Outcome]:
        """The outcomes of a seed by their fitness on `select`, best first; no rate that failed."""
        own = [o for o in self.outcomes if o.seed == seed and o.rate not in self.failed]
        return sorted(own, key=lambda o: (-fitness(o.select), o.rate))

    def chosen(self, fitness: Fitness) -> list[Outcome]:
        """The outcomes at the rate that went on to the further seeds, one a seed, in order.

        Where no rate has more seeds than another it is the one with the best fitness on `select`.
        """
        by_rate: dict[float, list[Outcome]] = {}
        for outcome in self.ranked(fitness):
            by_rate[outcome.rate] = [o for o in self.outcomes if o.rate == outcome.rate]
        best = max(by_rate.values(), key=len, default=[])
        return sorted(best, key=lambda outcome: outcome.seed)


@dataclass(frozen=True)
class Stage:
    """One suite at one rung, with the courses of its genomes by hash.

    `chance` is bits per answer token by task, `seeds` how many seeds a whole course has.
    """

    name: str
    suite: str
    rung: str
    parameters: int
    tokens: int
    seeds: int
    chance: Mapping[str, float]
    courses: Mapping[str, Course]

    def saved(self, tasks: Sequence[str] = ()) -> Fitness:
        """The mean over tasks (all if none is named) of bits saved, as a share of chance."""
        names = tuple(tasks) or tuple(self.chance)
        return lambda bits: sum(1 - bits[name] / self.chance[name] for name in names) / len(names)

    def values(self, fitness: Fitness) -> dict[str, tuple[float, ...]]:
        """The fitness of every seed on `score`, of the genomes that have all seeds."""
        whole = {genome: course.chosen(fitness) for genome, course in self.courses.items()}
        return {
            genome: tuple(fitness(outcome.score) for outcome in chosen)
            for genome, chosen in whole.items()
            if len(chosen) == self.seeds
        }

    def means(self, fitness: Fitness) -> dict[str, float]:
        """The means over seeds of `values`."""
        return {genome: float(np.mean(own)) for genome, own in self.values(fitness).items()}


@dataclass(frozen=True)
class Calibration:
    """The table: stages by name, and the expression and origin of each genome by hash.

    An origin is `atlas:NAME`, `sample`, or `edit:NAME` of a neighbour of that human design.
    `proxies` are what each genome showed at initialisation, by name.
    """

    numerics: int
    stages: Mapping[str, Stage]
    expressions: Mapping[str, str]
    origins: Mapping[str, str]
    proxies: Mapping[str, Mapping[str, float]]

    def stage(self, suite: str, rung: str) -> Stage | None:
        """The stage of a suite at a rung; None if it was not trained."""
        return self.stages.get(f"{suite}-{rung}")

    def noise(
        self, tasks: str | Sequence[str], rung: str, suite: str, best: float = 0.5
    ) -> Noise | None:
        """The deviation of one seed's fitness between paired seeds; None where none was measured.

        Of one task, or of the mean of several, in units of `Task.score`. What a seed does to all
        genomes alike is taken out. It is that of the `best` share of the genomes by their means:
        those that compete; a few at the bottom vary several times as much.

        >>> Calibration(1, {}, {}, {}, {}).noise("text", "1", "text") is None
        True
        """
        values = self._values(tasks, rung, suite, best)
        return paired_noise(values) if values is not None else None

    def pairing(
        self, tasks: str | Sequence[str], rung: str, suite: str, seeds: int, best: float = 0.5
    ) -> Pairing | None:
        """Whether so many seeds see more where they are paired, by these genomes; None where not
        measured.
        """
        values = self._values(tasks, rung, suite, best)
        return pairing_pays(values, seeds) if values is not None else None

    def _values(
        self, tasks: str | Sequence[str], rung: str, suite: str, best: float
    ) -> list[tuple[float, ...]] | None:
        stage = self.stage(suite, rung)
        names = (tasks,) if isinstance(tasks, str) else tuple(tasks)
        if stage is None or not names or not set(names) <= set(stage.chance):
            return None
        known = {name: TASKS[name]() for name in names}

        def fitness(bits: Mapping[str, float]) -> float:
            return sum(known[name].score(bits[name]) for name in names) / len(names)

        values = sorted(stage.values(fitness).values(), key=lambda own: -sum(own))
        return values[: max(2, round(best * len(values)))]


@cache
def calibration(scale: str = "pocket") -> Calibration | None:
    """The table that ships for a scale; None if there is none."""
    place = resources.files("palmette") / "data" / "calibration" / f"{scale}.json.gz"
    return read(place.read_bytes()) if place.is_file() else None


def read(packed: bytes) -> Calibration:
    """A table from the bytes of its file. Raises `UserError` for another format."""
    held: dict[str, Any] = json.loads(gzip.decompress(packed))
    if held.get("format") != FORMAT:
        raise UserError(
            f"the calibration's table wants format {FORMAT}, got {held.get('format')!r}; "
            "make it again: python -m benchmarks.calibration table"
        )
    hashes = [genome["hash"] for genome in held["genomes"]]
    stages = {}
    for stage in held["stages"]:
        tasks = tuple(stage["chance"])
        courses = {hashes[c["genome"]]: _course(c, hashes, tasks) for c in stage["courses"]}
        plain = {name: stage[name] for name in _PLAIN}
        stages[stage["name"]] = Stage(**plain, chance=stage["chance"], courses=courses)
    return Calibration(
        numerics=held["numerics"],
        stages=stages,
        expressions={genome["hash"]: genome["expression"] for genome in held["genomes"]},
        origins={genome["hash"]: genome["origin"] for genome in held["genomes"]},
        proxies={genome["hash"]: genome["proxies"] for genome in held["genomes"]},
    )


_PLAIN = ("name", "suite", "rung", "parameters", "tokens", "seeds")
FIGURES = ("parameters", "fits", "flops_forward", "flops_train", "state_bytes")


def _course(held: Mapping[str, Any], hashes: Sequence[str], tasks: Sequence[str]) -> Course:
    figures = held["figures"] or (None, False, None, None, None)
    return Course(
        genome=hashes[held["genome"]],
        **dict(zip(FIGURES, figures, strict=True)),
        outcomes=tuple(_outcomes(held["trials"], tasks)),
        failed=tuple(held["failed"]),
        reason=held["reason"],
    )


def _outcomes(trials: Sequence[Sequence[Any]], tasks: Sequence[str]) -> Iterator[Outcome]:
    for rate, seed, select, score, accuracy, early, curve, cpu in trials:
        yield Outcome(
            rate=rate,
            seed=seed,
            select=dict(zip(tasks, select, strict=True)),
            score=dict(zip(tasks, score, strict=True)),
            accuracy=dict(zip(tasks, accuracy, strict=True)),
            early_loss_nats=early,
            curve=tuple(curve),
            cpu_seconds=cpu,
        )
