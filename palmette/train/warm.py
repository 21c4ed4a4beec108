"""Everything a trial needs that is loaded late, loaded early: a forked trial imports nothing."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from palmette.errors import TrialError
from palmette.ops import language
from palmette.ops.forms import forms
from palmette.ops.kernels.native import ready
from palmette.ops.kernels.native.library import unavailable
from palmette.records import TrialResult, TrialSpec
from palmette.tasks import TASKS, Corpus, Split
from palmette.train.batches import code
from palmette.train.executor import Member, Progress, Runner, Tell
from palmette.train.machine import machine
from palmette.train.pack import Around, run_any, run_pack
from palmette.train.process import die_with
from palmette.train.shelf import Shelf, default_folder

LATE = ("torch.utils.serialization.config",)  # by the first saving of weights
LATER = (
    "torch._dynamo",  # by torch's optimisers, and by the recording of packs; most of a second
    "torch.profiler._cupti_monitor",  # by the first step of torch's optimisers
)
"""What trials of all kernels but "native" import."""
BUILDER_NICENESS = 10


def make_runner(corpus_directory: Path | None, commit: str | None) -> Runner:
    """What the fork server calls once: the function that each of its forks runs a trial with.

    Imports every primitive and task, maps the corpus and loads the native kernels; the ones that
    are not there yet are built by a process of low priority. Runs no operator of torch: after the
    first one, threads may exist that a fork does not take along. Raises `CorpusError` if the corpus
    in the directory is not there.
    """
    for module in LATE:
        importlib.import_module(module)
    language()
    TASKS.names()
    tuple(forms)
    code()
    machine()
    if unavailable() is None:
        machine("native")
    corpus = Corpus.open(corpus_directory) if corpus_directory else None
    if corpus is not None:
        for split in (Split.TRAIN, Split.SELECT, Split.SCORE):
            corpus.stream(split)
    return Warm(Around(corpus, commit, Shelf(default_folder())), Kernels())


@dataclass(frozen=True)
class Warm:
    """Runs trials on a corpus. `prepare` is called in the server before each fork, with the kernels
    of the trials that it is for.

    A trial leaves nothing behind that another could notice, so one process may run several.
    """

    again: ClassVar[bool] = True

    around: Around
    kernels: Kernels

    def __call__(self, spec: TrialSpec, weights: Path | None, on_progress: Progress) -> TrialResult:
        """Runs one trial."""
        return run_any(Member(spec, weights), self.around, lambda key, point: on_progress(point))

    def together(
        self, members: Sequence[Member], tell: Tell
    ) -> Iterator[tuple[str, TrialResult | TrialError]]:
        """Runs a pack."""
        return run_pack(members, self.around, tell)

    def prepare(self, kernels: Iterable[str]) -> None:
        """Loads the libraries that were built since the last fork, and imports what is needed."""
        self.kernels.load()
        if set(kernels) != {"native"}:
            for module in LATER:
                importlib.import_module(module)


class Kernels:
    """The native libraries of a process that forks trials: those that are there are loaded, and the
    others built by a child of low priority. A trial that needs one of them before builds it itself.
    """

    def __init__(self) -> None:
        self._builder: int | None = None
        absent = ready.load()
        if absent:
            self._builder = _in_background(lambda: ready.build(absent))

    def load(self) -> None:
        """Loads what the child has built, once it has ended."""
        if self._builder is not None and os.waitpid(self._builder, os.WNOHANG)[0]:
            self._builder = None
            ready.load()


def _in_background(work: Callable[[], None]) -> int:
    """Does work in a forked process of low priority, which ends with this one."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        # As an exception, so that a compiler is ended and its half-made files are removed.
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
        die_with(parent, by=signal.SIGTERM)
        os.closerange(3, 256)  # the server's pipes are not to be held open
        os.nice(BUILDER_NICENESS)
        work()
    finally:
        os._exit(0)
