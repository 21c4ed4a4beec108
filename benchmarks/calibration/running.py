"""Trains what is missing of a stage and keeps each trial as a line of its shard."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.calibration.stages import EXTENSIONS, FACTOR, RATES, SLOW_SECONDS, Stage
from palmette.grammar.genome import Genome
from palmette.ladder.results import Setting, seed_of, trial_spec
from palmette.ladder.scales import pocket
from palmette.records import Candidate, TrialResult, TrialSpec
from palmette.tasks import Suite, load_corpus, suite
from palmette.train.pool import Pool
from palmette.train.seeding import NUMERICS

FOLDER = Path("benchmarks/results/calibration")
LIMIT_SECONDS = 60.0  # of a trial, times its rung: what takes longer has failed, and says so
Row = dict[str, Any]


def shard(stage: Stage, folder: Path = FOLDER) -> Path:
    """The file of a stage."""
    return folder / f"{stage.name}.jsonl"


def rows(stage: Stage, folder: Path = FOLDER) -> list[Row]:
    """The finished trials of a stage; a last line that was cut short is left out."""
    path = shard(stage, folder)
    if not path.is_file():
        return []
    lines = path.read_text("utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]


@dataclass
class Course:
    """The trials of one genome at a stage: its rates with the first seed, the best with all."""

    genome: Genome
    stage: Stage
    seeds: Sequence[int]
    rates: Sequence[float]  # to begin with
    ended: dict[tuple[float, int], Row] = field(default_factory=dict)
    running: set[tuple[float, int]] = field(default_factory=set)

    def wanted(self) -> Iterator[tuple[float, int]]:
        """The pairs of a rate and a seed that are neither ended nor running."""
        if any("time limit" in (row.get("reason") or "") for row in self.ended.values()):
            return  # at another rate it would take as long
        first, *others = self.seeds
        rates = self._rates(first)
        pairs = [(rate, first) for rate in rates]
        if all(pair in self.ended for pair in pairs):
            best = best_rate([self.ended[pair] for pair in pairs])
            pairs += [(best, seed) for seed in others if best is not None]
        yield from (pair for pair in pairs if pair not in self.ended and pair not in self.running)

    def _rates(self, first: int) -> list[float]:
        given = {rate for rate, seed in self.ended if seed == first}
        tried = sorted(given | set(self.rates))
        if self.stage.after or len(given) < len(tried) or len(tried) >= len(RATES) + EXTENSIONS:
            return tried
        best = best_rate([self.ended[rate, first] for rate in tried])
        if best == tried[-1]:
            return [*tried, tried[-1] * FACTOR]
        if best == tried[0]:
            return [tried[0] / FACTOR, *tried]
        return tried


def best_rate(trials: Sequence[Row]) -> float | None:
    """The rate with the best mean score on `select`; none at which a seed failed."""
    ranked = ranked_rates(trials)
    return ranked[0] if ranked else None


def ranked_rates(trials: Sequence[Row]) -> list[float]:
    """The rates by their mean score on `select`, best first; none at which a seed failed."""
    failed = {row["rate"] for row in trials if row["state"] != "done"}
    by_rate: dict[float, list[float]] = {}
    for row in trials:
        if row["rate"] not in failed:
            by_rate.setdefault(row["rate"], []).append(mean_score(row, "select"))
    return sorted(by_rate, key=lambda rate: (-sum(by_rate[rate]) / len(by_rate[rate]), rate))


def mean_score(row: Row, split: str) -> float:
    """The mean over tasks of bits saved over chance, as a share of chance."""
    tasks = row["tasks"].values()
    return float(sum(1 - task[split] / task["chance"] for task in tasks) / len(tasks))


def run(
    stage: Stage,
    genomes: Sequence[Genome],
    workers: int,
    before: Sequence[Row] = (),
    folder: Path = FOLDER,
) -> None:
    """Trains what is missing; `before` are the rows of the stage that it comes after."""
    mixture = suite(stage.suite)
    corpus = load_corpus()
    setting = setting_of(mixture, mixture.digest(corpus.sha256))
    seeds = seeds_of(stage, setting)
    courses = {
        genome.hash: Course(genome, stage, seeds, first_rates(stage, genome, before))
        for genome in genomes
    }
    for row in rows(stage, folder):
        if row["genome"] in courses:
            courses[row["genome"]].ended[row["rate"], row["seed"]] = row
    folder.mkdir(parents=True, exist_ok=True)
    began, done = time.monotonic(), 0
    running: dict[str, tuple[Course, TrialSpec]] = {}
    with (
        shard(stage, folder).open("a", encoding="utf-8") as file,
        Pool(
            workers, corpus.directory, trial_seconds_limit=LIMIT_SECONDS * int(stage.rung.name)
        ) as pool,
    ):
        while True:
            for course in courses.values():
                for rate, seed in course.wanted():
                    if not pool.free:
                        break
                    spec = _spec(course.genome, stage, setting, seed, rate)
                    course.running.add((rate, seed))
                    running[spec.key] = (course, spec)
                    pool.submit(spec)
                if not pool.free:
                    break
            if not running:
                break
            for ended in pool.wait(1.0):
                course, spec = running.pop(ended.key)
                row = _row(stage, spec, ended.result, ended.reason)
                file.write(json.dumps(row) + "\n")
                file.flush()
                os.fsync(file.fileno())
                course.running.discard((spec.learning_rate, spec.seed))
                course.ended[spec.learning_rate, spec.seed] = row
                done += 1
                if done % 50 == 0:
                    print(f"{stage.name}: {done} in {time.monotonic() - began:.0f} s", flush=True)
    print(f"{stage.name}: {done} trials, {time.monotonic() - began:.0f} s", flush=True)


def seeds_of(stage: Stage, setting: Setting) -> list[int]:
    """The seeds of a stage, which all its genomes share."""
    return [seed_of(setting, 100 + int(stage.rung.name), n) for n in range(stage.seeds)]


def setting_of(mixture: Suite, digest: str) -> Setting:
    """What all trials of a suite share."""
    return Setting(
        scale=pocket(),
        suite=mixture.name,
        suite_digest=digest,
        seed=6,
        numerics=NUMERICS,
        kernel="native",
    )


def first_rates(stage: Stage, genome: Genome, before: Sequence[Row]) -> list[float]:
    """The rates that a genome begins a stage with: none if all of those before failed."""
    if stage.after is None:
        return list(RATES)
    return ranked_rates([row for row in before if row["genome"] == genome.hash])[: stage.rates]


def raised(genomes: Sequence[Genome], count: int, first: Sequence[Row]) -> list[Genome]:
    """The first `count` that are not too slow and did not fail, by their trials at rung 1."""
    seconds: dict[str, list[float]] = {}
    for row in first:
        if row["state"] == "done":
            seconds.setdefault(row["genome"], []).append(row["cpu"])
    quick = {genome for genome, own in seconds.items() if median(own) <= SLOW_SECONDS}
    return [genome for genome in genomes if genome.hash in quick][:count]


def _spec(genome: Genome, stage: Stage, setting: Setting, seed: int, rate: float) -> TrialSpec:
    candidate = Candidate(genome=genome.hash, expression=genome.text, role="found")
    return trial_spec(candidate, stage.rung, setting, seed, rate)


def _row(stage: Stage, spec: TrialSpec, result: TrialResult | None, reason: str | None) -> Row:
    row: Row = {
        "stage": stage.name,
        "genome": spec.genome,
        "seed": spec.seed,
        "rate": spec.learning_rate,
        "state": "done" if result else "failed",
    }
    if result is None:
        return {**row, "reason": reason}
    tasks = {
        name: {
            "chance": metric.chance_bits,
            "select": round(result.select[name].bits, 6),
            "score": round(metric.bits, 6),
            "accuracy": round(metric.accuracy, 5),
        }
        for name, metric in result.metrics.items()
    }
    return {
        **row,
        "tasks": tasks,
        "curve": [[point.tokens, round(point.loss_nats, 4)] for point in result.curve],
        "parameters": result.parameters,
        "fits": result.fits,
        "flops_forward": result.flops_forward,
        "flops_train": result.flops_train,
        "state_bytes": result.state_bytes,
        "cpu": round(result.cpu_seconds, 3),
    }
