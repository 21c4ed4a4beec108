"""The pool: runs trials in killable processes of their own, as many at once as it has workers.

It starts the fork server (`palmette.train.server`), tells it what to run and hears how it went. It
imports no torch. All its methods belong to the thread that made it, which has to live as long as
the pool: when that thread ends, so do the server and its trials.

From the first stranger on, trials run in a locked-down server. If that stranger comes while trials
run, the open server goes on beside it until they have ended.
"""

from __future__ import annotations

import os
import selectors
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Self

from palmette.errors import PalmetteError, UserError
from palmette.records import CurvePoint, Stranger, TrialResult, TrialSpec
from palmette.train.executor import Finished, Member
from palmette.train.host import Host, hidden
from palmette.train.messages import Message
from palmette.train.process import kill_group
from palmette.train.provisions import provisions
from palmette.train.sandbox import Box, Limits
from palmette.train.server import Config

MEMORY_LIMIT_BYTES = 3 * 2**29  # 1.5 GiB
TRIAL_SECONDS_LIMIT = 900.0
RUNNER = "palmette.train.warm:make_runner"
# The server itself watches the time and memory of its trials.
SERVED = Limits(cpu_seconds=None, processes=0, file_bytes=2**33, open_files=1024)


@dataclass
class Running:
    """A trial that was submitted and has not ended."""

    host: Host
    pack: int  # those of one have one process
    submitted: float
    pid: int | None = None


class Pool:
    """An `Executor` of `workers` processes on this machine.

    With `strangers`, files of users or models that genomes have parts of, everything runs in a
    locked-down process that can write into the folder `weights` alone; `protection` says what is in
    force. `memory_limit_bytes` is per trial, resident, the libraries of about 0.4 GiB included;
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
        self._config = Config(
            parent=os.getpid(),
            runner=runner,
            corpus_directory=str(corpus_directory) if corpus_directory else None,
            commit=commit,
            workers=workers,
            memory_limit_bytes=memory_limit_bytes,
            trial_seconds_limit=trial_seconds_limit,
            strangers=tuple(stranger.model_dump(mode="json") for stranger in strangers),
        )
        self._weights = weights
        self._box = self._walls() if strangers else None
        self._running: dict[str, Running] = {}
        self._packs = 0  # that were ever submitted
        self._deaths = 0  # of servers, since a trial ended last
        self._selector = selectors.DefaultSelector()
        self._hosts: list[Host] = []  # the last takes trials, the others end theirs
        self._start()

    @property
    def free(self) -> int:
        """How many more trials or packs can be submitted now."""
        return self.workers - len({trial.pack for trial in self._running.values()})

    @property
    def protection(self) -> str | None:
        """What strangers are kept from; None if there are none."""
        return self._box.protection if self._box else None

    @property
    def pids(self) -> Sequence[int]:
        """The process ids of the servers and, after them, of the trials that have one here."""
        open_trials = (trial for trial in self._running.values() if not trial.host.walled)
        pids = dict.fromkeys(trial.pid for trial in open_trials if trial.pid is not None)
        return [*(host.process.pid for host in self._hosts), *pids]

    def submit(self, spec: TrialSpec, weights: Path | None = None) -> None:
        """Starts a trial, whose trained state dict goes to the file `weights`."""
        self.submit_pack([Member(spec, weights)])

    def submit_pack(self, members: Sequence[Member]) -> None:
        """Starts several trials in one process; its limits are those of a trial."""
        assert self.free, "submitted a trial while no worker is free"
        keys = [member.spec.key for member in members]
        assert not self._running.keys() & set(keys), "submitted a trial that is running"
        host, now = self._hosts[-1], perf_counter()
        self._packs += 1
        self._running.update({key: Running(host, self._packs, now) for key in keys})
        told = [
            {
                "spec": member.spec.model_dump(mode="json"),
                "weights": str(member.weights.absolute()) if member.weights else None,
            }
            for member in members
        ]
        host.command({"run": told})

    def admit(self, stranger: Stranger) -> None:
        """Lets trials that are submitted from now on have parts of a further stranger."""
        known = self._config.strangers
        if stranger.name in {own["name"] for own in known}:
            return
        told = stranger.model_dump(mode="json")
        self._config = replace(self._config, strangers=(*known, told))
        if self._box is not None:
            self._hosts[-1].command({"admit": told})
            return
        self._box = self._walls()
        self._start()
        self._retire()

    def wait(self, timeout: float | None = None) -> list[Finished]:
        """The trials that ended, as soon as there is one; empty after `timeout` seconds.

        Returns at once if nothing runs.
        """
        deadline = None if timeout is None else perf_counter() + timeout
        ended: list[Finished] = []
        while self._running and not ended:
            left = None if deadline is None else max(0.0, deadline - perf_counter())
            ready = self._selector.select(left)
            if not ready:
                break
            for key, _ in ready:
                host: Host = key.data
                for event in host.events.read():
                    ended += self._take(event)
                if host.events.closed:
                    ended += self._bury(host)
        self._retire()
        return ended

    def kill(self, key: str) -> None:
        """Ends a running trial and those of its pack, which `wait` then reports as lost; an ended
        one is left alone.
        """
        if key in self._running:
            self._running[key].host.command({"kill": key})

    def close(self) -> None:
        """Ends everything that still runs, without a report, within about a second."""
        for host in self._hosts:
            host.finish()
            self._clear_away(host)
        self._hosts.clear()
        self._selector.close()
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

    def _walls(self) -> Box:
        if self._weights is not None:
            self._weights.mkdir(parents=True, exist_ok=True)
        corpus = self._config.corpus_directory
        found = provisions()
        return Box(
            readable=(*((Path(corpus),) if corpus else ()), *found.readable),
            writable=(self._weights,) if self._weights else (),
            limits=replace(SERVED, memory_bytes=self._config.memory_limit_bytes),
            variables=found.variables,
        )

    def _start(self) -> None:
        parent = 0 if hidden(self._box) else os.getpid()
        host = Host(replace(self._config, parent=parent), self._box)
        self._selector.register(host.events.pipe, selectors.EVENT_READ, host)
        self._hosts.append(host)

    def _retire(self) -> None:
        """Ends the servers that take no more trials and whose last one has ended."""
        busy = [trial.host for trial in self._running.values()]
        for host in self._hosts[:-1]:
            if host not in busy:
                host.finish()
                self._clear_away(host)
                self._hosts.remove(host)

    def _take(self, event: Message) -> list[Finished]:
        """Takes in one event of a server; an end comes back as a report."""
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

    def _bury(self, host: Host) -> list[Finished]:
        """Reports the trials of a dead server as lost; starts another for it, or gives up."""
        status = host.process.wait()
        self._deaths += 1
        noise = self._clear_away(host)
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
        keys = [key for key, trial in self._running.items() if trial.host is host]
        lost = [self._end(key, report) for key in keys]
        took_trials = host is self._hosts[-1]
        self._hosts.remove(host)
        if took_trials:
            self._start()
        return lost

    def _clear_away(self, host: Host) -> str:
        """Ends a server and all that is left of its trials; returns the last it wrote."""
        with suppress(KeyError, ValueError):  # closed before
            self._selector.unregister(host.events.pipe)
        noise = host.end()
        for trial in self._running.values():
            if trial.host is host and trial.pid is not None and not host.walled:
                kill_group(trial.pid)
        return noise
