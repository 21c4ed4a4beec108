"""A small text and small trials, for the tests of this folder."""

import json

import numpy as np

import palmette
from palmette.records import TrialSpec
from palmette.tasks import Split
from palmette.train.seeding import NUMERICS

WORDS = ("the", "state", "of", "a", "layer", "decays", "and", "is", "read", "by", "every", "query")


class Sentences:
    """Text by split: random sentences over twelve words, the same on every machine."""

    def __init__(self) -> None:
        self._streams = {}
        for number, split in enumerate((Split.TRAIN, Split.SELECT, Split.SCORE)):
            chosen = np.random.Generator(np.random.PCG64(number)).integers(0, len(WORDS), 4000)
            text = " ".join(WORDS[i] for i in chosen)
            self._streams[split] = np.frombuffer(text.encode(), dtype=np.uint8)

    def stream(self, split):
        return self._streams[split]


def tiny_spec(expression="stack(pre(attn()), pre(glu()))", **changed):
    genome = palmette.parse(expression)
    fields = {
        "genome": genome.hash,
        "expression": str(genome),
        "rung": "tiny",
        "rung_digest": "none",
        "parameters": 20_000,
        "tokens": 12 * 8 * 63,
        "batch_size": 8,
        "length": 63,
        "evaluation_tokens": 1000,
        "suite": "pocket",
        "suite_digest": "none",
        "seed": 0,
        "learning_rate": 6e-3,
        "numerics": NUMERICS,
    }
    return TrialSpec(**{**fields, **changed})


def numbers(result):
    """What has to be equal bit for bit."""
    curve = [(point.tokens, point.loss_nats) for point in result.curve]
    metrics = {name: m.model_dump(mode="json") for name, m in result.metrics.items()}
    return json.loads(json.dumps([curve, metrics]))
