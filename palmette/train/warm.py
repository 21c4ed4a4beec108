"""Everything a trial needs that is loaded late, loaded early: a forked trial imports nothing."""

from __future__ import annotations

import importlib
from pathlib import Path

from palmette.ops import language
from palmette.records import TrialResult, TrialSpec
from palmette.tasks import TASKS, Corpus, Split
from palmette.train.batches import code
from palmette.train.executor import Progress, Runner
from palmette.train.loop import run_trial
from palmette.train.machine import machine
from palmette.train.shelf import Shelf, default_folder

LATE = (
    "torch._dynamo",  # by the first optimiser; most of a second
    "torch.profiler._cupti_monitor",  # by the first optimiser step
    "torch.utils.serialization.config",  # by the first saving of weights
)


def make_runner(corpus_directory: Path | None, commit: str | None) -> Runner:
    """What the fork server calls once: the function that each of its forks runs a trial with.

    Imports every primitive and task and maps the corpus. Runs no operator of torch: after the first
    one, threads may exist that a fork does not take along. Raises `CorpusError` if the corpus in
    the directory is not there.
    """
    for module in LATE:
        importlib.import_module(module)
    language()
    TASKS.names()
    machine()
    corpus = Corpus.open(corpus_directory) if corpus_directory else None
    if corpus is not None:
        for split in (Split.TRAIN, Split.SELECT, Split.SCORE):
            corpus.stream(split)

    code()
    shelf = Shelf(default_folder())

    def run(spec: TrialSpec, weights: Path | None, on_progress: Progress) -> TrialResult:
        return run_trial(spec, corpus, weights, on_progress, commit, shelf)

    return run
