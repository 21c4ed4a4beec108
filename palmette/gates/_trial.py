"""One tiny real trial, for a genome that no campaign has trained."""

from __future__ import annotations

from pathlib import Path

from palmette.gates._base import Trained
from palmette.grammar.genome import Genome
from palmette.records import TrialSpec
from palmette.tasks import suite
from palmette.train.loop import run_trial
from palmette.train.seeding import NUMERICS

SUITE = "recall"  # reads no text
PARAMETERS = 40_000
STEPS, ROWS, LENGTH = 16, 8, 63


def tiny_trial(genome: Genome, folder: Path) -> Trained:
    """Trains the genome at 40,000 parameters for 16 steps and saves it in `folder`.

    Raises `TrialError` if it diverges.
    """
    spec = TrialSpec(
        genome=genome.hash,
        expression=genome.text,
        rung="tiny",
        rung_digest="",
        parameters=PARAMETERS,
        tokens=STEPS * ROWS * LENGTH,
        batch_size=ROWS,
        length=LENGTH,
        evaluation_tokens=2000,
        suite=SUITE,
        suite_digest=suite(SUITE).digest(None),
        seed=0,
        learning_rate=3e-3,
        numerics=NUMERICS,
    )
    weights = folder / f"{spec.key}.pt"
    return Trained(spec, run_trial(spec, None, weights), weights)
