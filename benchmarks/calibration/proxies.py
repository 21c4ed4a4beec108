"""What a genome shows before it is trained: one batch at initialisation, at the first rung.

    python -m benchmarks.calibration proxies

gradient_norm    the Euclidean norm of the loss' gradient over all parameters
snip             the sum of |gradient x weight|: what removing each connection alone would
                 change the loss by (Lee, Ajanthan and Torr 2019, arXiv 1810.02340, eq. 5)
loss_nats        the loss itself

The batch and the weights are those that a trial with the seed would begin with.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.calibration.running import FOLDER
from palmette.errors import PalmetteError
from palmette.grammar.genome import Genome
from palmette.ladder.scales import Rung
from palmette.model import build_at
from palmette.records import TrialSpec
from palmette.tasks import Corpus, Suite
from palmette.train.batches import batches
from palmette.train.loop import one_thread, prepare
from palmette.train.seeding import NUMERICS, halting_generator, weights_seed
from palmette.train.segments import losses

FILE = FOLDER / "proxies.jsonl"
NAMES = ("gradient_norm", "snip", "loss_nats")


def spec_of(genome: Genome, rung: Rung, mixture: Suite, digest: str, seed: int) -> TrialSpec:
    """The trial that would begin so."""
    return TrialSpec(
        genome=genome.hash,
        expression=genome.text,
        rung=rung.name,
        rung_digest=rung.digest,
        parameters=rung.parameters,
        tokens=rung.batch_size * rung.length,
        batch_size=rung.batch_size,
        length=rung.length,
        evaluation_tokens=rung.evaluation_tokens,
        suite=mixture.name,
        suite_digest=digest,
        seed=seed,
        learning_rate=0.0,
        kernel="native",
        numerics=NUMERICS,
    )


def measured(spec: TrialSpec, corpus: Corpus | None) -> dict[str, float]:
    """The proxies of one genome and seed. Raises `PalmetteError` as a trial does."""
    with one_thread():
        subject = prepare(spec)
        model = build_at(subject.genome, subject.sized.place, weights_seed(spec), spec.kernel)
        model.train()
        inputs, targets, weights = next(batches(spec, subject.mixture, corpus, 1))
        explorer = halting_generator(spec)
        loss = next(losses(model, inputs, targets, weights, explorer, spec.kernel))
        loss.backward()  # type: ignore[no-untyped-call]
        pairs = [(p.grad, p.detach()) for p in model.parameters() if p.grad is not None]
        square = sum(float((slope.double() ** 2).sum()) for slope, _ in pairs)
        snip = sum(float((slope * weight).double().abs().sum()) for slope, weight in pairs)
        return {"gradient_norm": math.sqrt(square), "snip": snip, "loss_nats": loss.item()}


def run(
    genomes: Sequence[Genome],
    rung: Rung,
    mixture: Suite,
    corpus: Corpus,
    seeds: Sequence[int],
    file: Path = FILE,
) -> None:
    """Measures what is missing; a line for each genome and seed."""
    done = {(row["genome"], row["seed"]) for row in read(file)}
    digest = mixture.digest(corpus.sha256)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as out:
        for genome in genomes:
            for seed in seeds:
                if (genome.hash, seed) in done:
                    continue
                row: dict[str, Any] = {"genome": genome.hash, "suite": mixture.name, "seed": seed}
                try:
                    row |= measured(spec_of(genome, rung, mixture, digest, seed), corpus)
                except PalmetteError as error:
                    row["reason"] = str(error)
                out.write(json.dumps(row) + "\n")
                out.flush()


def means(file: Path = FILE) -> dict[str, dict[str, float]]:
    """By genome the mean over seeds of every proxy; of those alone that were measured."""
    by_genome: dict[str, list[dict[str, Any]]] = {}
    for row in read(file):
        if "reason" not in row:
            by_genome.setdefault(row["genome"], []).append(row)
    return {
        genome: {name: sum(row[name] for row in own) / len(own) for name in NAMES}
        for genome, own in by_genome.items()
    }


def read(file: Path = FILE) -> list[dict[str, Any]]:
    """The rows that are there; a last line that was cut short is left out."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").split("\n")[:-1] if line]
