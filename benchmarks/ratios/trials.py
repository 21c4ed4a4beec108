"""Lists of trials as `grow` runs them on the first pocket rung, and three ways to run a list."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import palmette
from benchmarks.ratios.fresh import fresh
from palmette.ladder.scales import pocket
from palmette.records import TrialSpec
from palmette.tasks import load_corpus
from palmette.train.executor import Finished
from palmette.train.pool import Pool
from palmette.train.seeding import NUMERICS

WORKERS = 2
GENOMES = Path(__file__).with_name("genomes.txt")


def genomes() -> list[str]:
    """The fixed list, one canonical text each."""
    lines = GENOMES.read_text("utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


def spec(text: str, kernel: str, seed: int = 0, tokens: int | None = None) -> TrialSpec:
    """A trial of the first pocket rung, at the middle one of its learning rates."""
    scale = pocket()
    rung = scale.rungs[0]
    genome = palmette.parse(text)
    return TrialSpec(
        genome=genome.hash,
        expression=str(genome),
        rung=rung.name,
        rung_digest=rung.digest,
        parameters=rung.parameters,
        tokens=tokens or rung.tokens,
        batch_size=rung.batch_size,
        length=rung.length,
        evaluation_tokens=rung.evaluation_tokens,
        evaluated=rung.evaluated,
        suite=scale.suite,
        suite_digest="none",
        seed=seed,
        learning_rate=scale.learning_rates[1],
        kernel=kernel,
        numerics=NUMERICS,
    )


def in_pool(pool: Pool, specs: Sequence[TrialSpec]) -> list[Finished]:
    """Runs a list as the scheduler does: a worker that is free gets the next trial."""
    waiting, ended = list(reversed(specs)), []
    while waiting or pool.free < pool.workers:
        while waiting and pool.free:
            pool.submit(waiting.pop())
        ended += pool.wait()
    for finished in ended:
        assert finished.result, finished.reason
    return ended


def in_loop(specs: Sequence[TrialSpec]) -> float:
    """Wall seconds of the list in a loop of one's own: see `children.loop`."""
    given = [one.model_dump(mode="json") for one in specs]
    directory = str(load_corpus().directory)
    told = fresh(
        "benchmarks.ratios.children:loop",
        {"specs": given, "workers": WORKERS, "corpus": directory},
    )
    return float(told["wall"])


def in_processes(specs: Sequence[TrialSpec]) -> float:
    """Wall seconds of the list with a new process for each trial, two at once."""
    directory = str(load_corpus().directory)

    def one(given: TrialSpec) -> None:
        fresh(
            "benchmarks.ratios.children:trial",
            {"spec": given.model_dump(mode="json"), "corpus": directory},
        )

    began = time.perf_counter()
    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(one, specs))
    return time.perf_counter() - began
