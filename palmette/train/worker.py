"""A process that the server has forked: it runs a trial, or a pack of them, and perhaps another.

    server ──orders──> worker          {"run": [...], "began": seconds}
      └ <── points, ends, idle ──┘

A forked process starts cold: the pages that it writes are copied first, and torch sets itself up at
its first operators, which together takes as long as some ten steps of a small model. So a process
whose trials ended well takes the next ones, if its runner says that they leave nothing behind. One
in which anything went wrong ends, and so does one that has grown, and every one that may have run a
stranger's file.
"""

from __future__ import annotations

import gc
import math
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

from palmette.records import CurvePoint, TrialResult, TrialSpec
from palmette.train.executor import Attempt, Member, Runner, attempt_pack
from palmette.train.messages import Inbox, Message, send
from palmette.train.process import resident_bytes

TELL_SECONDS = 1.0  # between points of a trial's curve that are passed on while it runs
MOST_TURNS = 200  # commands that one process follows


def work(runner: Runner, first: Message, orders: int, pipe: int, most_bytes: int) -> None:
    """Follows the first command and then, where nothing speaks against it, those that come from
    `orders`. `most_bytes` is how large a process may be that goes on. Returns when it is to end.
    """
    inbox = Inbox(orders)
    commands = [first]
    for left in reversed(range(MOST_TURNS)):
        while not commands:
            commands = inbox.read()
            if inbox.closed:
                return
        clean = run_trial_process(runner, commands.pop(0), pipe)
        again = clean and first["again"] and getattr(runner, "again", False)
        if not again or not left or resident_bytes(os.getpid()) > most_bytes:
            return
        forget_peak()
        send(pipe, {"idle": True})
        gc.collect()  # while nothing waits for this process


def run_trial_process(runner: Runner, command: Message, pipe: int) -> bool:
    """Runs the commanded trial or pack, and writes its points and its ends to `pipe`.

    What passed since the server took up the command, and was not spent in the trial, is booked as
    `process`, of a pack on each of its trials in equal parts. Whether all ended as they should:
    with a result, or with a loss that is not finite.
    """
    told: dict[str, float] = {}
    last = began = command["began"]  # when the trial before ended, where they run one by one
    members = [member_of(one) for one in command["run"]]
    clean = True

    def tell(key: str, point: CurvePoint) -> None:
        # Each message wakes two processes that share the processors with the trials.
        if (now := perf_counter()) - told.get(key, -math.inf) >= TELL_SECONDS:
            told[key] = now
            send(pipe, {"key": key, "point": point.model_dump(mode="json")})

    for key, ended in attempt_pack(runner, members, tell):
        clean = clean and ends_well(ended)
        message: dict[str, Any] = {"key": key, **asdict(ended)}
        if ended.result is not None:
            result = with_process(ended.result, began if ended.result.members > 1 else last)
            message["result"] = result.model_dump(mode="json")
        send(pipe, message)
        last = perf_counter()
    return clean


def ends_well(ended: Attempt) -> bool:
    """Whether a trial ran to its end, or to a `TrialError`."""
    return ended.outcome == "done" or (ended.outcome == "failed" and ended.detail is None)


def member_of(told: Message) -> Member:
    """A trial of a command."""
    spec = TrialSpec.model_validate(told["spec"])
    return Member(spec, Path(told["weights"]) if told["weights"] else None)


def with_process(result: TrialResult, began: float) -> TrialResult:
    """A result with its share of all seconds since its process began on it."""
    wall_seconds = (perf_counter() - began) / result.members
    phases = {**result.phases, "process": wall_seconds - result.wall_seconds}
    return result.model_copy(update={"wall_seconds": wall_seconds, "phases": phases})


def forget_peak() -> None:
    """Lets `peak_bytes` speak of what is to come alone, where the system can forget."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
