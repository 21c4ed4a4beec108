"""Where trials run: the interface of executors, and the simplest of them.

A scheduler fills the free workers, waits for whatever ends first, and decides what runs next:

    while executor.free and queue:
        executor.submit(queue.pop())
    for finished in executor.wait(timeout=1.0):
        ...

Several trials may be submitted as one pack: they run in one process, take one worker, and end each
with a report of its own.

`Pool` runs trials in killable processes, `Inline` in this one. An executor for CUDA devices or for
another machine implements the same Protocol.
"""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Literal, Protocol, Self

from palmette.errors import GROUND, TrialError
from palmette.records import CurvePoint, Stranger, TrialResult, TrialSpec

Outcome = Literal["done", "failed", "lost", "blocked"]
Progress = Callable[[CurvePoint], None]
Runner = Callable[[TrialSpec, Path | None, Progress], TrialResult]
"""Runs one trial: the spec, where to put the weights, whom to tell the training curve.

If it has a method `together` (see `Together`), packs are given to that; if `again` is true of it, a
process whose trials ended well runs further ones.
"""

KILLED = "killed on request"


@dataclass(frozen=True)
class Member:
    """A trial of a pack, and a file for its trained state dict."""

    spec: TrialSpec
    weights: Path | None = None


Tell = Callable[[str, CurvePoint], None]
"""Takes the key of a trial and a point of its training curve."""


class Together(Protocol):
    """A runner that can train several trials at once."""

    def together(
        self, members: Sequence[Member], tell: Tell
    ) -> Iterable[tuple[str, TrialResult | TrialError]]:
        """The key of each member with its result, or with the reason why it failed."""
        ...


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
        """How many trials, or packs of them, run at once."""
        ...

    @property
    def free(self) -> int:
        """How many more trials or packs can be submitted now."""
        ...

    @property
    def progress(self) -> Mapping[str, CurvePoint]:
        """The newest point of the training curve of each running trial that has one, by key."""
        ...

    def submit(self, spec: TrialSpec, weights: Path | None = None) -> None:
        """Starts a trial; `weights` is a file for its trained state dict. Needs a free worker."""
        ...

    def submit_pack(self, members: Sequence[Member]) -> None:
        """Starts several trials in one process. Needs a free worker.

        Limits of memory and time hold for the whole pack. If its process is lost, so are all
        members that have not ended.
        """
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
        """Ends a running trial and those of its pack, which `wait` then reports as lost; an ended
        one is left alone.
        """
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
    except Exception as error:
        return _ended_by(error)


def attempt_pack(
    runner: Runner, members: Sequence[Member], tell: Tell
) -> Iterator[tuple[str, Attempt]]:
    """The same for a pack: the key of each member with what came of it.

    A runner that trains nothing together gets them one by one. An error that is no member's own
    ends those that are left: they are lost, for alone they may do better.
    """
    together = getattr(runner, "together", None)
    if together is None or len(members) == 1:
        for member in members:
            key = member.spec.key
            yield key, attempt(runner, member.spec, member.weights, partial(tell, key))
        return
    left = [member.spec.key for member in members]
    try:
        for key, ended in together(members, tell):
            left.remove(key)
            failed = isinstance(ended, TrialError)
            yield key, _ended_by(ended) if failed else Attempt("done", result=ended)
    except Exception as error:
        common = _ended_by(error)
        if common.outcome == "failed":
            common = replace(common, outcome="lost")
        yield from ((key, common) for key in left)


def _ended_by(error: Exception) -> Attempt:
    if isinstance(error, TrialError):
        return Attempt("failed", reason=str(error))
    if out_of_memory(error):
        return Attempt("lost", reason="out of memory")
    if isinstance(error, OSError) and error.errno in GROUND:
        where = f" ({error.filename})" if error.filename else ""
        return Attempt("blocked", reason=f"{error.strerror}{where}")
    outcome: Outcome = "lost" if isinstance(error, OSError) else "failed"
    detail = "".join(traceback.format_exception(error))
    return Attempt(outcome, reason=f"{type(error).__name__}: {error}", detail=detail)


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
    """Runs one trial or pack at a time in this process, inside `wait`: for tests and debuggers.

    Neither memory nor time is limited, and a crash takes this process with it. So no stranger's
    file runs here: a trial that would build it fails.
    """

    workers = 1

    def __init__(self, runner: Runner) -> None:
        self.progress: dict[str, CurvePoint] = {}
        self._runner = runner
        self._waiting: Sequence[Member] = ()
        self._submitted = 0.0
        self._killed = False

    @property
    def free(self) -> int:
        """1 until a trial is submitted, then 0 until `wait` has run it."""
        return 0 if self._waiting else 1

    def submit(self, spec: TrialSpec, weights: Path | None = None) -> None:
        """Takes a trial for the next `wait` to run."""
        self.submit_pack([Member(spec, weights)])

    def submit_pack(self, members: Sequence[Member]) -> None:
        """Takes a pack for the next `wait` to run."""
        assert self.free, "submitted a trial while no worker is free"
        self._waiting = members
        self._submitted = perf_counter()
        self._killed = False

    def admit(self, stranger: Stranger) -> None:
        """Changes nothing: whether a trial needs the stranger's file is seen when it is built."""

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """Runs what was submitted, however long it takes, and reports it."""
        members, self._waiting = self._waiting, ()
        if self._killed:
            ended = [(member.spec.key, Attempt("lost", reason=KILLED)) for member in members]
        else:
            ended = list(attempt_pack(self._runner, members, self.progress.__setitem__))
        self.progress.clear()
        seconds = perf_counter() - self._submitted
        return [
            Finished(key, one.outcome, one.result, one.reason, seconds, one.detail)
            for key, one in ended
        ]

    def kill(self, key: str) -> None:
        """Keeps what waits, if this trial is in it, from being run."""
        if any(member.spec.key == key for member in self._waiting):
            self._killed = True

    def close(self) -> None:
        """Forgets what waits."""
        self._waiting = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
