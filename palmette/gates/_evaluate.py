"""Evaluates saved weights in a process of its own: `python -m palmette.gates._evaluate`.

It reads one JSON object (spec, weights, corpus) and prints one: the loss of every task on both
splits with those weights, and with freshly initialised ones.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

import palmette
from palmette.model import build_at, fit
from palmette.records import TrialSpec
from palmette.tasks import VOCABULARY, Corpus, Split, suite
from palmette.train.evaluate import evaluate
from palmette.train.loop import one_thread
from palmette.train.seeding import derive


def losses(spec: TrialSpec, weights: Path | None, corpus: Path | None) -> dict[str, float]:
    """Loss in nats by split and task; without weights, of a model that was not trained."""
    mixture = suite(spec.suite)
    genome = palmette.parse(spec.expression)
    place = fit(genome, spec.parameters, VOCABULARY, mixture.context(spec.length)).place
    model = build_at(genome, place, derive("untrained", spec.seed, spec.replica))
    if weights is not None:
        model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    text = Corpus.open(corpus) if corpus is not None else None
    found: dict[str, float] = {}
    with one_thread():
        for split in (Split.SELECT, Split.SCORE):
            metrics = evaluate(
                model,
                mixture,
                text,
                split,
                spec.length,
                spec.evaluation_tokens,
                spec.evaluated,
            )
            found |= {f"{split} {task}": each.loss_nats for task, each in metrics.items()}
    return found


def main() -> None:
    """One request, one answer."""
    given = json.load(sys.stdin)
    spec = TrialSpec.model_validate(given["spec"])
    corpus = Path(given["corpus"]) if given["corpus"] else None
    answer = {
        "trained": losses(spec, Path(given["weights"]), corpus),
        "fresh": losses(spec, None, corpus),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
