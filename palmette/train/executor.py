"""Where trials run: the interface of executors, and the simplest of them.

A scheduler fills the free workers, waits for whatever ends first, and decides what runs next:

    while executor.free and queue:
        executor.submit(queue.pop())
    for finished in executor.wait(timeout=1.0):
        ...

`Pool` runs trials in killable processes, `Inline` in this one. An executor for CUDA devices or for
another machine implements the same Protocol.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Literal, Protocol, Self

from palmette.errors import GROUND, TrialError
from palmette.records import CurvePoint, Stranger, TrialResult, TrialSpec

Outcome = Literal["done", "failed", "lost", "blocked"]
Progress = Callable[[CurvePoint], None]
Runner = Callable[[TrialSpec, Path | None, Progress], TrialResult]
"""Runs one trial: the spec, where to put the weights, whom to tell the training curve."""

KILLED = "killed on request"


@dataclass(frozen=True)
class Finished:
    """How a submitted trial ended.

    done     `result` holds what it measured
    failed   for a reason of its own (diverged, an error in its code): it would fail again
    lost     its process was killed or ran out of memory or time: worth another attempt
    blocked  its files cannot be written (the disk is full, a folder is read-only): nor could those
             of any other trial, until the user has made room
    """

    key: str
    outcome: Outcome
    result: TrialResult | None
    reason: str | None
    seconds: float  # of wall time, from submission to this report
    detail: str | None = None  # the traceback of an error that is not a `TrialError`


class Executor(Protocol):
    """Runs trials, several at once; used as a context manager, which closes it."""

    @property
    def workers(self) -> int:
        """How many trials run at once."""
        ...

    @property
    def free(self) -> int:
        """How many more trials can be submitted now."""
        ...

    @property
    def progress(self) -> Mapping[str, CurvePoint]:
        """The newest point of the training curve of each running trial that has one, by key."""
        ...

    def submit(self, spec: TrialSpec, weights: Path | None = None) -> None:
        """Starts a trial; `weights` is a file for its trained state dict. Needs a free worker."""
        ...

    def admit(self, stranger: Stranger) -> None:
        """Lets trials that are submitted from now on have parts of a further stranger, whose file
        runs behind walls alone. Trials that run already go on.
        """
        ...

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """The trials that ended, as soon as there is one; empty after `timeout` seconds.

        Returns at once if nothing runs.
        """
        ...

    def kill(self, key: str) -> None:
        """Ends a running trial, which `wait` then reports as lost; an ended one is left alone."""
        ...

    def close(self) -> None:
        """Ends everything that still runs, without a report."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@dataclass(frozen=True)
class Attempt:
    """What came of calling a runner."""

    outcome: Outcome
    result: TrialResult | None = None
    reason: str | None = None
    detail: str | None = None


def attempt(runner: Runner, spec: TrialSpec, weights: Path | None, tell: Progress) -> Attempt:
    """Calls a runner and sorts what it raises.

    Out of memory and trouble with files are the machine's, so the trial is lost or blocked;
    everything else is the trial's own, so it has failed.
    """
    try:
        return Attempt("done", result=runner(spec, weights, tell))
    except TrialError as error:
        return Attempt("failed", reason=str(error))
    except Exception as error:
        if out_of_memory(error):
            return Attempt("lost", reason="out of memory")
        if isinstance(error, OSError) and error.errno in GROUND:
            where = f" ({error.filename})" if error.filename else ""
            return Attempt("blocked", reason=f"{error.strerror}{where}")
        reason = f"{type(error).__name__}: {error}"
        outcome: Outcome = "lost" if isinstance(error, OSError) else "failed"
        return Attempt(outcome, reason=reason, detail=traceback.format_exc())


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out; torch's CPU allocator raises a `RuntimeError`,
    the system an `OSError`.

    >>> out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried ..."))
    True
    """
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


class Inline:
    """Runs one trial at a time in this process, inside `wait`: for tests and debuggers.

    Neither memory nor time is limited, and a crash takes this process with it. So no stranger's
    file runs here: a trial that would build it fails.
    """

    workers = 1

    def __init__(self, runner: Runner) -> None:
        self.progress: dict[str, CurvePoint] = {}
        self._runner = runner
        self._waiting: tuple[TrialSpec, Path | None, float] | None = None
        self._killed = False

    @property
    def free(self) -> int:
        """1 until a trial is submitted, then 0 until `wait` has run it."""
        return 0 if self._waiting else 1

    def submit(self, spec: TrialSpec, weights: Path | None = None) -> None:
        """Takes a trial for the next `wait` to run."""
        assert self.free, "submitted a trial while no worker is free"
        self._waiting = (spec, weights, perf_counter())
        self._killed = False

    def admit(self, stranger: Stranger) -> None:
        """Changes nothing: whether a trial needs the stranger's file is seen when it is built."""

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """Runs the trial that was submitted, however long it takes, and reports it."""
        if self._waiting is None:
            return []
        spec, weights, submitted = self._waiting
        self._waiting = None

        def tell(point: CurvePoint) -> None:
            self.progress[spec.key] = point

        if self._killed:
            ended = Attempt("lost", reason=KILLED)
        else:
            ended = attempt(self._runner, spec, weights, tell)
        self.progress.pop(spec.key, None)
        seconds = perf_counter() - submitted
        return [
            Finished(spec.key, ended.outcome, ended.result, ended.reason, seconds, ended.detail)
        ]

    def kill(self, key: str) -> None:
        """Keeps the waiting trial, if it is this one, from being run."""
        if self._waiting is not None and self._waiting[0].key == key:
            self._killed = True

    def close(self) -> None:
        """Forgets the waiting trial."""
        self._waiting = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
