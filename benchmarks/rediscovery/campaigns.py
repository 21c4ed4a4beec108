"""The campaigns: each arm under each seed, with as many genomes, in one store; resumable."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import palmette
from benchmarks.rediscovery.parts import parts
from palmette.designer.session import Studio
from palmette.ladder.results import ascents, score_at
from palmette.ladder.scales import Scale
from palmette.search.arms import Arm, existing, grow_arms
from palmette.search.grow import Update
from palmette.search.scheduler import Scheduler
from palmette.search.start import Ground, Plan, prepare
from palmette.store import Campaign, Store
from palmette.train.executor import Executor
from palmette.train.pool import Pool

NAME = "rediscovery"
LEFT_OUT = frozenset(
    (
        "dnc",
        "slots",
        "rule",
        "hloop",
        "energy",
        "streams",
        "pkm",
        "moe",
        "nsa",
        "moba",
        "compressed",
    )
)
"""What is slow on a processor and none of what is looked for: it took most of a first try."""
ROOT = "lm(stack(pre(lin(conv=0, erase='beta')), pre(glu())))"
ARMS = (Arm("evolution", "evolution"), Arm("random", "random"))
Row = dict[str, Any]
Trainer = Callable[[Campaign], AbstractContextManager[Executor]]


def ground(scale: str = "pocket", suite: str | None = None, rungs: int = 1) -> Ground:
    """What the campaigns have in common.

    Proposers see first-rung scores alone, so one rung is enough; `rungs` more are for a look at
    how what was found carries.
    """
    made = prepare(Plan(name=NAME, root=palmette.parse(ROOT), scale=scale, suite=suite))
    ladder = replace(made.scale, baselines=(), rungs=made.scale.rungs[:rungs])
    config = made.config.model_copy(update={"scale_digest": ladder.digest})
    nodes = tuple(cls for cls in made.language.nodes if cls.name not in LEFT_OUT)
    language = replace(made.language, nodes=nodes, even=True)
    return replace(made, config=config, scale=ladder, language=language)


def grow(
    storage: str,
    own: Ground,
    genomes: int,
    seeds: Sequence[int],
    workers: int,
    arms: Sequence[Arm] = ARMS,
    trainer: Trainer | None = None,
) -> None:
    """Grows every campaign to so many genomes, in rounds: stopped early, all have got as far.

    `trainer` is who trains for a campaign, a pool of processes if not given.
    """

    def nobody(campaign: Campaign) -> Studio:
        raise AssertionError("no arm asks a language model")

    def pool(campaign: Campaign) -> AbstractContextManager[Executor]:
        directory = own.corpus.directory if own.corpus else None
        return Pool(workers, directory, weights=campaign.weights_directory)

    @contextmanager
    def watch(scheduler: Scheduler) -> Iterator[Any]:
        def told(update: Update) -> None:
            return None

        yield told
        print(f"{scheduler.book.campaign.config.name}: {scheduler.found} genomes", flush=True)

    with Store(storage) as store:
        grow_arms(store, own, arms, seeds, genomes, workers, nobody, trainer or pool, watch)


def rows(
    storage: str, scale: Scale, seeds: Sequence[int], arms: Sequence[Arm] = ARMS
) -> Iterator[Row]:
    """A line for each root, placebo and found genome whose first rung is complete.

    `number` counts an arm's found genomes from 1, `seconds` is what the first rungs of all found
    genomes up to this one took on a worker; both are 0 of roots and placebos.
    """
    with Store(storage) as store:
        for (arm, seed), campaign in existing(store, NAME, arms, seeds).items():
            number, seconds = 0, 0.0
            for climber in ascents(campaign.candidates(), campaign.trials(), scale):
                candidate = climber.candidate
                score = score_at(climber, 0, scale)
                if climber.pending or not climber.at(0):
                    continue
                found = candidate.role == "found"
                if found:
                    number += 1
                    done = [trial.result for trial in climber.at(0) if trial.result]
                    seconds += sum(result.cpu_seconds for result in done)
                yield {
                    "arm": arm,
                    "seed": seed,
                    "role": candidate.role,
                    "replica": candidate.replica,
                    "number": number if found else 0,
                    "seconds": round(seconds, 2) if found else 0.0,
                    "score": score.mean if score else None,
                    "parts": parts(palmette.parse(candidate.expression)),
                    "edit": candidate.edit_text,
                    "expression": candidate.expression,
                }


def write(file: Path, lines: Iterator[Row]) -> int:
    """Writes the lines; returns how many."""
    text = [json.dumps(line) for line in lines]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(line + "\n" for line in text), "utf-8")
    return len(text)
