"""Proposers that think, each asked in a thread of its own while the campaign goes on.

The pool of threads belongs to the main thread: it begins calls and takes in what comes, in the
order in which it came. Threads touch neither the store nor the book. Nobody ever waits for a thread
to end: they are daemons, and whoever closes their endpoint ends their calls.
"""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePath

import torch

from palmette.designer.endpoint import Failing
from palmette.designer.session import StepError
from palmette.records import Thought
from palmette.search.proposers import NoProposalError, Proposal


@dataclass(frozen=True)
class Came:
    """What came of asking for proposal `number`: the proposal, or the reason why there is none.

    `failing` says how the endpoint failed, if it was the endpoint; `lasting` that asking again
    would be in vain.
    """

    number: int
    proposal: Proposal | None = None
    reason: str = ""
    lasting: bool = False
    failing: Failing | None = None


@dataclass(frozen=True)
class Noted:
    """A thought that has ended, with the text of its prompt."""

    thought: Thought
    prompt: str | None


class Thinking:
    """At most `most` calls at once; what they note and how they end comes through one queue."""

    def __init__(self, most: int) -> None:
        self.numbers: set[int] = set()  # of the proposals that were begun and have not come
        self._most = most
        self._came: queue.SimpleQueue[Noted | Came] = queue.SimpleQueue()
        self._first: list[Noted | Came] = []
        self._asking: dict[int, Noted] = {}  # by thread: what is kept of a call that nobody hears
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """How many more calls can be begun now."""
        return self._most - len(self.numbers)

    def note(self, thought: Thought, prompt: str | None) -> None:
        """Takes a thought from whatever thread; a studio's `note`."""
        with self._lock:
            self._asking.pop(threading.get_ident(), None)
            self._came.put(Noted(thought, prompt))

    def asking(self, thought: Thought, prompt: str) -> None:
        """A model is asked in this thread; a studio's `asking`."""
        with self._lock:
            self._asking[threading.get_ident()] = Noted(thought, prompt)

    def begin(self, number: int, ask: Callable[[], Proposal]) -> None:
        """Calls `ask` in a thread of its own."""
        assert self.free > 0, "began to think while no thread is free"
        self.numbers.add(number)

        def think() -> None:
            # Fingerprints run torch in one thread and then restore what they found, which is partly
            # the whole process': here they find one and leave the main thread's trials alone.
            torch.set_num_threads(1)
            came = _called(number, ask)
            with self._lock:
                if unheard := self._asking.pop(threading.get_ident(), None):
                    self._came.put(unheard)
                self._came.put(came)

        threading.Thread(target=think, name=f"proposal {number}", daemon=True).start()

    def drain(self) -> list[Noted | Came]:
        """All that has come since the last time."""
        found, self._first = self._first, []
        while not self._came.empty():
            found.append(self._came.get())
        self.numbers -= {item.number for item in found if isinstance(item, Came)}
        return found

    def leave(self) -> list[Noted | Came]:
        """All that has come, and calls that are under way, as those whose end nobody hears."""
        with self._lock:
            found = self.drain() + list(self._asking.values())
            self._asking.clear()
        return found

    def wait(self, seconds: float) -> None:
        """Until something has come, at most so long."""
        if not self._first:
            try:
                self._first.append(self._came.get(timeout=max(0.0, seconds)))
            except queue.Empty:
                return


def _called(number: int, ask: Callable[[], Proposal]) -> Came:
    try:
        return Came(number, ask())
    except NoProposalError as error:
        step = error.__cause__ or error.__context__
        call = step.call if isinstance(step, StepError) else None
        return Came(
            number,
            reason=str(error),
            lasting=error.lasting,
            failing=call.kind if call is not None else None,
        )
    except BaseException as error:  # a proposer's fault must not end the campaign
        return Came(number, reason=fault(error))


def fault(error: BaseException) -> str:
    """An error that nobody foresaw, by its kind and its place.

    Its message is left out: it may hold what must not reach the store.
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = f" in {PurePath(frames[-1].filename).name}, line {frames[-1].lineno}" if frames else ""
    return f"an error of its own: {type(error).__name__}{where}"
