"""The fork server: imports everything once, then forks a process for every trial.

    grow ──exec──> server ──fork──> worker       (each worker leads a process group)
      ├─ commands ──>  │ <── points, result ──┤
      └ <── events ────┘

Importing torch takes seconds, forking a process that has imported it milliseconds. So that a fork
is clean, the server stays single-threaded: it runs no torch operator and opens no database. What a
forked process does, and when it takes a further trial, stands in `worker.py`.

Nothing outlives its parent: the kernel kills the server when the pool's process ends and a trial
when the server does, and the server kills every group when its command pipe closes. The server also
watches the trials' memory and time, and says by which signal a lost one died.

The first message is the `Config`; then commands are `{"run": [{"spec": …, "weights": …}, …]}`, one
process for one trial or for a pack of them, `{"kill": key}` and `{"admit": stranger}`, which lets
later trials have parts of it; events are `started`, `point` and `ended`, each with the key of its
trial.
"""

from __future__ import annotations

import gc
import importlib
import math
import os
import resource
import selectors
import signal
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

from palmette.records import Stranger
from palmette.train.executor import KILLED, Runner
from palmette.train.messages import Inbox, Message, send
from palmette.train.process import die_with, kill_group, pin, resident_bytes
from palmette.train.worker import member_of, work

SAMPLE_SECONDS = 0.25  # between looks at a trial's memory and time


@dataclass(frozen=True)
class Config:
    """What the pool tells the server at its start."""

    parent: int  # process id; 0 if a locked-down process takes care of its end
    runner: str  # module:function, called as function(corpus_directory, commit) -> Runner
    corpus_directory: str | None
    commit: str | None
    workers: int
    memory_limit_bytes: int
    trial_seconds_limit: float
    strangers: tuple[dict[str, Any], ...] = ()  # records.Stranger

    def make_runner(self) -> Runner:
        """Imports the runner's module and makes the runner; strangers' nodes are known to it."""
        for stranger in self.strangers:
            welcome(stranger)
        module, _, function = self.runner.partition(":")
        make = getattr(importlib.import_module(module), function)
        directory = Path(self.corpus_directory) if self.corpus_directory else None
        runner: Runner = make(directory, self.commit)
        return runner


def welcome(stranger: dict[str, Any]) -> None:
    """Makes a stranger's node known to the trials; its file runs in them alone."""
    from palmette.model.stranger.node import admit

    admit(Stranger.model_validate(stranger), run=True)


@dataclass
class Worker:
    """A process that runs a trial or a pack of trials, or waits for one, as the server sees it."""

    pid: int
    slot: int
    inbox: Inbox
    orders: int  # the pipe that it is told of further trials by
    keys: tuple[str, ...] = ()  # of what it runs; none while it waits
    began: float = 0.0
    ended: dict[str, Message] = field(default_factory=dict)  # their own reports
    killed: str | None = None  # why the server killed it
    status: int | None = None  # as waitpid gives it
    sampled: float = -math.inf  # when its memory was last looked at

    def report(self, key: str) -> Message:
        """How one of the trials ended: as it said, or else as its process did."""
        if key in self.ended:
            return self.ended[key]
        return {"outcome": "lost", "reason": self.killed or self._cause()}

    def _cause(self) -> str:
        assert self.status is not None, "asked for the cause before the process had ended"
        code = os.waitstatus_to_exitcode(self.status)
        if code == -signal.SIGKILL:
            return "killed by SIGKILL (the system may have run out of memory)"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"its process ended with status {code} and without a result"


class Server:
    """Serves one pool until its command pipe closes."""

    def __init__(
        self, config: Config, runner: Runner, commands: Inbox, early: list[Message], events: int
    ) -> None:
        self._config = config
        self._runner = runner
        self._commands = commands
        self._early = early
        self._events = events
        self._workers: dict[int, Worker] = {}
        self._strangers = bool(config.strangers)
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = os.pipe()

    def serve(self) -> None:
        """Runs until the command pipe closes, then kills what is left."""
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)
        # Without a handler the signal would not be written to the pipe.
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        self._watch(self._woken, self._reap)
        self._watch(self._commands.pipe, self._obey)
        try:
            self._follow(self._early)
            while not self._commands.closed:
                for ready, _ in self._selector.select(SAMPLE_SECONDS if self._busy() else None):
                    # An earlier callback may have closed the pipe, and a fork reused its number.
                    if self._selector.get_map().get(ready.fileobj) == ready:
                        ready.data()
                self._enforce_limits()
        finally:
            for worker in self._workers.values():
                kill_group(worker.pid)
                os.waitpid(worker.pid, 0)

    def _busy(self) -> list[Worker]:
        return [worker for worker in self._workers.values() if worker.keys]

    def _watch(self, pipe: int, callback: Callable[[], None]) -> None:
        self._selector.register(pipe, selectors.EVENT_READ, callback)

    def _obey(self) -> None:
        self._follow(self._commands.read())

    def _follow(self, commands: list[Message]) -> None:
        for command in commands:
            if "run" in command:
                self._run(command)
            elif "admit" in command:
                self._strangers = True
                welcome(command["admit"])
            else:
                for worker in self._busy():
                    if command["kill"] in worker.keys:
                        self._kill(worker, KILLED)

    def _run(self, command: Message) -> None:
        """Gives a trial or a pack to a worker that waits, or else to a new one."""
        keys = tuple(member_of(told).spec.key for told in command["run"])
        command |= {"began": perf_counter(), "again": not self._strangers}
        worker = self._told(command) or self._fork(command)
        worker.keys, worker.began, worker.sampled = keys, command["began"], -math.inf
        for key in keys:
            send(self._events, {"event": "started", "key": key, "pid": worker.pid})

    def _told(self, command: Message) -> Worker | None:
        """The waiting worker that has taken the command, if there is one."""
        for worker in self._workers.values():
            if not worker.keys and not worker.killed and not self._strangers:
                with suppress(BrokenPipeError):  # it has died and was not buried yet
                    send(worker.orders, command)
                    return worker
        return None

    def _fork(self, command: Message) -> Worker:
        taken = {worker.slot for worker in self._workers.values()}
        slot = min(set(range(self._config.workers + len(taken))) - taken)
        if prepare := getattr(self._runner, "prepare", None):
            prepare(told["spec"]["kernel"] for told in command["run"])
        read_end, write_end = os.pipe()
        ordered, orders = os.pipe()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(orders)
            self._become_worker(command, ordered, write_end, server, slot)
        os.close(write_end)
        os.close(ordered)
        os.set_blocking(read_end, False)
        # Here and in the child: whoever comes first, the group exists before it can be killed.
        with suppress(OSError):  # the worker was first and is already gone
            os.setpgid(pid, pid)
        worker = Worker(pid, slot, Inbox(read_end), orders)
        self._workers[pid] = worker
        self._watch(read_end, lambda: self._listen(worker))
        return worker

    def _become_worker(
        self, command: Message, ordered: int, pipe: int, server: int, slot: int
    ) -> NoReturn:
        """Turns the forked process into a worker, and never returns to the server's code."""
        status = 1
        try:
            os.setpgid(0, 0)
            die_with(server)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for watched in list(self._selector.get_map().values()):
                os.close(watched.fd)
            for other in self._workers.values():
                os.close(other.orders)
            self._selector.close()
            os.close(self._wake)
            os.close(self._events)
            pin(slot % self._config.workers, self._config.workers)
            work(self._runner, command, ordered, pipe, self._config.memory_limit_bytes // 2)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _listen(self, worker: Worker) -> None:
        for message in worker.inbox.read():
            self._pass_on(worker, message)
        if worker.inbox.closed:
            self._selector.unregister(worker.inbox.pipe)

    def _pass_on(self, worker: Worker, message: Message) -> None:
        if "point" in message:
            send(self._events, {"event": "point", **message})
        elif "idle" in message:
            self._report(worker)
        else:
            worker.ended[message["key"]] = message

    def _report(self, worker: Worker) -> None:
        """Tells how all that a worker ran has ended."""
        for key in worker.keys:
            send(self._events, {"event": "ended", **worker.report(key), "key": key})
        worker.keys = ()
        worker.ended.clear()

    def _reap(self) -> None:
        os.read(self._woken, 4096)
        for worker in list(self._workers.values()):
            pid, worker.status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            kill_group(worker.pid)  # what a trial may have started itself
            for message in worker.inbox.drain():
                self._pass_on(worker, message)
            if worker.inbox.pipe in self._selector.get_map():
                self._selector.unregister(worker.inbox.pipe)
            os.close(worker.inbox.pipe)
            os.close(worker.orders)
            del self._workers[worker.pid]
            self._report(worker)

    def _enforce_limits(self) -> None:
        now = perf_counter()
        limits = self._config
        for worker in self._busy():
            if worker.killed or now - worker.sampled < SAMPLE_SECONDS:
                continue
            worker.sampled = now
            if resident_bytes(worker.pid) > limits.memory_limit_bytes:
                gibibytes = limits.memory_limit_bytes / 2**30
                self._kill(worker, f"over its memory limit of {gibibytes:.4g} GiB")
            elif now - worker.began > limits.trial_seconds_limit:
                self._kill(worker, f"over its time limit of {limits.trial_seconds_limit:g} s")

    def _kill(self, worker: Worker, reason: str) -> None:
        worker.killed = reason
        kill_group(worker.pid)


def main() -> None:
    """The process that the pool starts: `python -m palmette.train.server`."""
    commands, events = Inbox(os.dup(0)), os.dup(1)
    first: list[Message] = []
    while not first and not commands.closed:
        first = commands.read()
    if not first:
        return
    config = Config(**first[0])
    if config.parent:
        die_with(config.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for grow to act upon
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crashed trial leaves no file behind
    # Whatever a trial prints must reach neither the pipe of events nor the screen.
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    os.close(nothing)
    runner = config.make_runner()
    # Objects of before the fork are never collected: a collection would touch, and so copy, them.
    gc.collect()
    gc.freeze()
    Server(config, runner, commands, first[1:], events).serve()


if __name__ == "__main__":
    main()
