"""The fork server: imports everything once, then forks a process for every trial.

    grow ──exec──> server ──fork──> trial        (each trial leads a process group)
      ├─ commands ──>  │ <── points, result ──┤
      └ <── events ────┘

Importing torch takes seconds, forking a process that has imported it milliseconds. So that a fork
is clean, the server stays single-threaded: it runs no torch operator and opens no database.

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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, NoReturn

from palmette.records import CurvePoint, Stranger, TrialResult, TrialSpec
from palmette.train.executor import KILLED, Member, Runner, attempt_pack
from palmette.train.messages import Inbox, Message, send
from palmette.train.process import die_with, kill_group, pin, resident_bytes

SAMPLE_SECONDS = 0.25  # between looks at a trial's memory and time
TELL_SECONDS = 1.0  # between points of a trial's curve that are passed on while it runs


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
class Trial:
    """A running trial or pack of trials, as the server sees it."""

    keys: tuple[str, ...]
    pid: int
    slot: int
    inbox: Inbox
    began: float
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
        self._trials: dict[int, Trial] = {}
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
                for ready, _ in self._selector.select(SAMPLE_SECONDS if self._trials else None):
                    # An earlier callback may have closed the pipe, and a fork reused its number.
                    if self._selector.get_map().get(ready.fileobj) == ready:
                        ready.data()
                self._enforce_limits()
        finally:
            for trial in self._trials.values():
                kill_group(trial.pid)
                os.waitpid(trial.pid, 0)

    def _watch(self, pipe: int, callback: Callable[[], None]) -> None:
        self._selector.register(pipe, selectors.EVENT_READ, callback)

    def _obey(self) -> None:
        self._follow(self._commands.read())

    def _follow(self, commands: list[Message]) -> None:
        for command in commands:
            if "run" in command:
                self._fork(command)
            elif "admit" in command:
                welcome(command["admit"])
            else:
                for trial in self._trials.values():
                    if command["kill"] in trial.keys:
                        self._kill(trial, KILLED)

    def _fork(self, command: Message) -> None:
        taken = {trial.slot for trial in self._trials.values()}
        slot = min(set(range(self._config.workers)) - taken)
        if prepare := getattr(self._runner, "prepare", None):
            prepare()
        read_end, write_end = os.pipe()
        server, began = os.getpid(), perf_counter()
        pid = os.fork()
        if pid == 0:
            self._become_trial(command, write_end, server, slot, began)
        os.close(write_end)
        os.set_blocking(read_end, False)
        # Here and in the child: whoever comes first, the group exists before it can be killed.
        with suppress(OSError):  # the trial was first and is already gone
            os.setpgid(pid, pid)
        members = [member_of(told) for told in command["run"]]
        keys = tuple(member.spec.key for member in members)
        trial = Trial(keys, pid, slot, Inbox(read_end), began)
        self._trials[pid] = trial
        self._watch(read_end, lambda: self._listen(trial))
        for key in keys:
            send(self._events, {"event": "started", "key": key, "pid": pid})

    def _become_trial(
        self, command: Message, pipe: int, server: int, slot: int, began: float
    ) -> NoReturn:
        """Turns the forked process into a trial's, and never returns to the server's code."""
        status = 1
        try:
            os.setpgid(0, 0)
            die_with(server)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for watched in list(self._selector.get_map().values()):
                os.close(watched.fd)
            self._selector.close()
            os.close(self._wake)
            os.close(self._events)
            pin(slot, self._config.workers)
            run_trial_process(self._runner, command, pipe, began)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _listen(self, trial: Trial) -> None:
        for message in trial.inbox.read():
            self._pass_on(trial, message)
        if trial.inbox.closed:
            self._selector.unregister(trial.inbox.pipe)

    def _pass_on(self, trial: Trial, message: Message) -> None:
        if "point" in message:
            send(self._events, {"event": "point", **message})
        else:
            trial.ended[message["key"]] = message

    def _reap(self) -> None:
        os.read(self._woken, 4096)
        for trial in list(self._trials.values()):
            pid, trial.status = os.waitpid(trial.pid, os.WNOHANG)
            if pid == 0:
                continue
            kill_group(trial.pid)  # what the trial may have started itself
            for message in trial.inbox.drain():
                self._pass_on(trial, message)
            if trial.inbox.pipe in self._selector.get_map():
                self._selector.unregister(trial.inbox.pipe)
            os.close(trial.inbox.pipe)
            del self._trials[trial.pid]
            for key in trial.keys:
                send(self._events, {"event": "ended", **trial.report(key), "key": key})

    def _enforce_limits(self) -> None:
        now = perf_counter()
        limits = self._config
        for trial in self._trials.values():
            if trial.killed or now - trial.sampled < SAMPLE_SECONDS:
                continue
            trial.sampled = now
            if resident_bytes(trial.pid) > limits.memory_limit_bytes:
                gibibytes = limits.memory_limit_bytes / 2**30
                self._kill(trial, f"over its memory limit of {gibibytes:.4g} GiB")
            elif now - trial.began > limits.trial_seconds_limit:
                self._kill(trial, f"over its time limit of {limits.trial_seconds_limit:g} s")

    def _kill(self, trial: Trial, reason: str) -> None:
        trial.killed = reason
        kill_group(trial.pid)


def member_of(told: Message) -> Member:
    """A trial of a command."""
    spec = TrialSpec.model_validate(told["spec"])
    return Member(spec, Path(told["weights"]) if told["weights"] else None)


def run_trial_process(runner: Runner, command: Message, pipe: int, began: float) -> None:
    """Runs the commanded trial or pack, and writes its points and its ends to `pipe`.

    `began` is when the server forked; what passed between and after is booked as `process`, of a
    pack on each of its trials in equal parts.
    """
    told: dict[str, float] = {}
    last = began  # when the trial before this one ended, where they ran one after another
    members = [member_of(one) for one in command["run"]]

    def tell(key: str, point: CurvePoint) -> None:
        # Each message wakes two processes that share the processors with the trials.
        if (now := perf_counter()) - told.get(key, -math.inf) >= TELL_SECONDS:
            told[key] = now
            send(pipe, {"key": key, "point": point.model_dump(mode="json")})

    for key, ended in attempt_pack(runner, members, tell):
        message = {"key": key, **asdict(ended)}
        if ended.result is not None:
            result = with_process(ended.result, began if ended.result.members > 1 else last)
            message["result"] = result.model_dump(mode="json")
        send(pipe, message)
        last = perf_counter()


def with_process(result: TrialResult, began: float) -> TrialResult:
    """A result with its share of all seconds since its process began on it."""
    wall_seconds = (perf_counter() - began) / result.members
    phases = {**result.phases, "process": wall_seconds - result.wall_seconds}
    return result.model_copy(update={"wall_seconds": wall_seconds, "phases": phases})


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
