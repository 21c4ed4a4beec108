"""What ends a command from outside: Ctrl-C, `kill`, a closed terminal."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not there on Windows
PATIENCE_SECONDS = 5.0


@contextmanager
def interruptible() -> Iterator[None]:
    """Has the first signal raise KeyboardInterrupt, and further ones wait for the cleaning up.

    Who presses Ctrl-C twice would otherwise interrupt what puts the store in order. After
    `PATIENCE_SECONDS` a signal interrupts again, for the cleaning up may hang. A signal that is
    ignored, as `nohup` has it, stays so.

    Ends an interrupted command with 128 + the signal's number, as shells do: 130 for Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    caught: list[tuple[int, float]] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not caught or now - caught[-1][1] >= PATIENCE_SECONDS:
            caught.append((number, now))
            raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heard = [number for number in numbers if before[number] is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, interrupt)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        if not caught:
            raise
        raise SystemExit(128 + caught[0][0]) from None
    finally:
        for number in heard:
            # An interrupted process is about to end; nothing is left that should be told again.
            signal.signal(number, signal.SIG_IGN if caught else before[number])
