"""The pool: runs trials in killable processes of their own, as many at once as it has workers.

It starts the fork server (`palmette.train.server`), tells it what to run and hears how it went. It
imports no torch. All its methods belong to the thread that made it, which has to live as long as
the pool: when that thread ends, so do the server and its trials.
"""

from __future__ import annotations

import os
import platform
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import IO, Self

from palmette.errors import PalmetteError, UserError
from palmette.records import CurvePoint, Stranger, TrialResult, TrialSpec
from palmette.train.executor import Finished
from palmette.train.messages import Inbox, Message, send
from palmette.train.process import kill_group
from palmette.train.sandbox import MARK, Box, Limits, sweep
from palmette.train.server import Config

MEMORY_LIMIT_BYTES = 3 * 2**29  # 1.5 GiB
TRIAL_SECONDS_LIMIT = 900.0
CLOSING_SECONDS = 1.0
RUNNER = "palmette.train.warm:make_runner"
SERVER = "palmette.train.server"
# The server itself watches the time and memory of its trials.
SERVED = Limits(cpu_seconds=None, processes=0, file_bytes=2**33, open_files=1024)

# Transparent huge pages, and freed memory kept instead of given back at every step: measured to be
# worth 5 to 10 % of a training step on Linux. glibc reads this when a process starts.
MALLOC = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        f"glibc.malloc.mmap_threshold={32 * 2**20}",
        f"glibc.malloc.trim_threshold={256 * 2**20}",
    )
)


@dataclass
class Running:
    """A trial that was submitted and has not ended."""

    submitted: float
    pid: int | None = None


class Pool:
    """An `Executor` of `workers` processes on this machine.

    With `strangers`, users' files that genomes have parts of, everything runs in a locked-down
    process that can write into the folder `weights` alone; `protection` says what is in force.
    `memory_limit_bytes` is per trial, resident, the libraries of about 0.4 GiB included;
    `trial_seconds_limit` is wall time. `runner` names, as module:function, what makes the function
    that runs a trial.

    If the server dies twice without a trial ending between: raises `UserError` if it was killed,
    `PalmetteError` with its last words if it failed.
    """

    def __init__(
        self,
        workers: int,
        corpus_directory: Path | None,
        memory_limit_bytes: int = MEMORY_LIMIT_BYTES,
        trial_seconds_limit: float = TRIAL_SECONDS_LIMIT,
        commit: str | None = None,
        runner: str = RUNNER,
        strangers: Sequence[Stranger] = (),
        weights: Path | None = None,
    ) -> None:
        self.workers = workers
        self.progress: dict[str, CurvePoint] = {}
        self._box = None
        if strangers:
            if weights is not None:
                weights.mkdir(parents=True, exist_ok=True)
            self._box = Box(
                readable=(corpus_directory,) if corpus_directory else (),
                writable=(weights,) if weights else (),
                limits=replace(SERVED, memory_bytes=memory_limit_bytes),
            )
        self.protection = self._box.protection if self._box else None
        # Numbers of processes mean nothing across the walls, which see to the end of all of them.
        self._walled = self._box is not None and self._box.hidden
        self._config = Config(
            parent=0 if self._walled else os.getpid(),
            runner=runner,
            corpus_directory=str(corpus_directory) if corpus_directory else None,
            commit=commit,
            workers=workers,
            memory_limit_bytes=memory_limit_bytes,
            trial_seconds_limit=trial_seconds_limit,
            strangers=tuple(stranger.model_dump(mode="json") for stranger in strangers),
        )
        self._running: dict[str, Running] = {}
        self._deaths = 0  # of servers, since a trial ended last
        self._mark = ""  # by which what a stranger has started is known
        self._folder = ExitStack()
        self._start()

    @property
    def free(self) -> int:
        """How many more trials can be submitted now."""
        return self.workers - len(self._running)

    @property
    def pids(self) -> Sequence[int]:
        """The process ids of the server and, after it, of the trials that have one here."""
        if self._walled:
            return [self._server.pid]
        trials = (trial.pid for trial in self._running.values())
        return [self._server.pid, *(pid for pid in trials if pid is not None)]

    def submit(self, spec: TrialSpec, weights: Path | None = None) -> None:
        """Starts a trial, whose trained state dict goes to the file `weights`."""
        assert self.free, "submitted a trial while no worker is free"
        assert spec.key not in self._running, "submitted a trial that is running"
        self._running[spec.key] = Running(perf_counter())
        path = str(weights.absolute()) if weights else None
        self._command({"run": spec.key, "spec": spec.model_dump(mode="json"), "weights": path})

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """The trials that ended, as soon as there is one; empty after `timeout` seconds.

        Returns at once if nothing runs.
        """
        deadline = None if timeout is None else perf_counter() + timeout
        ended: list[Finished] = []
        while self._running and not ended:
            left = None if deadline is None else max(0.0, deadline - perf_counter())
            if not self._selector.select(left):
                break
            for event in self._events.read():
                ended += self._take(event)
            if self._events.closed:
                ended += self._bury()
        return ended

    def kill(self, key: str) -> None:
        """Ends a running trial, which `wait` then reports as lost; an ended one is left alone."""
        if key in self._running:
            self._command({"kill": key})

    def close(self) -> None:
        """Ends everything that still runs, without a report, within about a second."""
        self._server.stdin.close()  # type: ignore[union-attr]
        with suppress(subprocess.TimeoutExpired):
            self._server.wait(CLOSING_SECONDS)
        self._clear_away()
        self._running.clear()
        self.progress.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self) -> None:
        self._noise: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the server)
        command, environment = [sys.executable, "-P", "-m", SERVER], server_environment()
        folder = None
        if self._box is not None:
            folder = self._folder.enter_context(self._box.folder())
            command = self._box.command(f"{SERVER}:main")
            tunables = environment.get("GLIBC_TUNABLES", "")
            environment = self._box.environment(folder) | {"GLIBC_TUNABLES": tunables}
            environment[MARK] = self._mark = secrets.token_hex(8)
        self._server = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        self._command(asdict(self._config))
        self._events = Inbox(self._server.stdout.fileno())  # type: ignore[union-attr]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._events.pipe, selectors.EVENT_READ)

    def _command(self, message: Message) -> None:
        # A dead server is noticed by `wait`, which reports its trials as lost.
        with suppress(BrokenPipeError):
            send(self._server.stdin.fileno(), message)  # type: ignore[union-attr]

    def _take(self, event: Message) -> list[Finished]:
        """Takes in one event of the server; an end comes back as a report."""
        if event["event"] == "started":
            self._running[event["key"]].pid = event["pid"]
        elif event["event"] == "point":
            self.progress[event["key"]] = CurvePoint.model_validate(event["point"])
        elif event["event"] == "ended":
            self._deaths = 0
            return [self._end(event["key"], event)]
        return []

    def _end(self, key: str, report: Message) -> Finished:
        self.progress.pop(key, None)
        seconds = perf_counter() - self._running.pop(key).submitted
        result = report.get("result")
        return Finished(
            key=key,
            outcome=report["outcome"],
            result=TrialResult.model_validate(result) if result else None,
            reason=report["reason"],
            seconds=seconds,
            detail=report.get("detail"),
        )

    def _bury(self) -> list[Finished]:
        """Reports the trials of a dead server as lost and starts another, or gives up."""
        status = self._server.wait()
        self._deaths += 1
        noise = self._clear_away()
        how = f"the trial server ended with status {status}"
        if self._deaths > 1 and status < 0:
            raise UserError(
                f"the server that trials are forked from was killed by "
                f"{signal.Signals(-status).name} twice in a row; the system may have run out of "
                "memory: close other programs or use --workers 1, then run the same command again "
                "(nothing that finished is lost)"
            )
        if self._deaths > 1:
            raise PalmetteError(f"{how}, twice without a trial ending between; it said:\n{noise}")
        report = {"outcome": "lost", "reason": how}
        lost = [self._end(key, report) for key in list(self._running)]
        self._start()
        return lost

    def _clear_away(self) -> str:
        """Ends the server and all that is left of its trials; returns the last it wrote."""
        if self._noise.closed:
            return ""
        self._server.kill()
        self._server.wait()
        for trial in self._running.values():
            if trial.pid is not None and not self._walled:
                kill_group(trial.pid)
        if self._box is not None:
            sweep(self._mark)
            self._folder.close()
        self._selector.close()
        for pipe in (self._server.stdin, self._server.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        with self._noise as noise:
            noise.seek(0)
            return noise.read()[-2000:].decode(errors="replace").strip()


def server_environment() -> dict[str, str]:
    """The environment of the server: one thread, its malloc tuned, importing what we import."""
    environment = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        environment[name] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    if platform.libc_ver()[0] == "glibc":
        given = environment.get("GLIBC_TUNABLES")
        environment["GLIBC_TUNABLES"] = f"{MALLOC}:{given}" if given else MALLOC
    return environment
