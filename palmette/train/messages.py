"""JSON lines over pipes: how the pool, its fork server and the trials talk."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import Any

Message = dict[str, Any]


def send(pipe: int, message: Message) -> None:
    """Writes one message to a file descriptor, all of it, waiting while the pipe is full."""
    rest = memoryview(json.dumps(message).encode() + b"\n")
    while rest:
        rest = rest[os.write(pipe, rest) :]


class Inbox:
    """Takes the messages out of what a file descriptor delivers.

    `closed` becomes True at the end of the stream. A line that was cut off by the writer's death is
    dropped with it.
    """

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.closed = False
        self._rest = b""

    def read(self) -> list[Message]:
        """Whatever whole messages have come; waits for the first byte if the pipe is blocking."""
        try:
            data = os.read(self.pipe, 1 << 20)
        except BlockingIOError:
            return []
        self.closed = not data
        return self._split(data)

    def drain(self) -> list[Message]:
        """Everything that is there, up to the end or to where a non-blocking pipe is empty."""
        parts: list[bytes] = []
        with suppress(BlockingIOError):
            while not self.closed:
                parts.append(os.read(self.pipe, 1 << 20))
                self.closed = not parts[-1]
        return self._split(b"".join(parts))

    def _split(self, data: bytes) -> list[Message]:
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]
