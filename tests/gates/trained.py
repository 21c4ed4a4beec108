"""A trial that was run for the tests of this folder, and one that only looks like it."""

import atexit
import dataclasses
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

import palmette
from palmette.gates import Trained, tiny_trial
from palmette.model import build_at, fit
from palmette.tasks import VOCABULARY, Split, suite
from palmette.train.evaluate import evaluate
from palmette.train.seeding import derive

GENOME = palmette.parse("pre(glu())")


@cache
def folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="palmette-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@cache
def trained() -> Trained:
    return tiny_trial(GENOME, folder())


@cache
def untrained() -> Trained:
    """Weights that nobody trained, with the losses that they have."""
    own = trained()
    spec, mixture = own.spec, suite(own.spec.suite)
    place = fit(GENOME, spec.parameters, VOCABULARY, mixture.context(spec.length)).place
    model = build_at(GENOME, place, derive("untrained", spec.seed, spec.replica)).eval()
    weights = folder() / "untrained.pt"
    torch.save(model.state_dict(), weights)
    metrics = {
        field: evaluate(model, mixture, None, split, spec.length, spec.evaluation_tokens)
        for field, split in {"select": Split.SELECT, "metrics": Split.SCORE}.items()
    }
    return dataclasses.replace(own, weights=weights, result=own.result.model_copy(update=metrics))
