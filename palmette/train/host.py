"""A fork server's process as the pool sees it: started, spoken to, ended with all that it started.

Open, it can do what its holder can. Behind the walls of a `Box` it runs files of others.
"""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO

from palmette.train.messages import Inbox, Message, send
from palmette.train.sandbox import MARK, Box, sweep
from palmette.train.server import Config

CLOSING_SECONDS = 1.0
SERVER = "palmette.train.server"

# Transparent huge pages, and freed memory kept instead of given back at every step: measured to be
# worth 5 to 10 % of a training step on Linux. glibc reads this when a process starts.
MALLOC = ":".join(
    (
        "glibc.malloc.hugetlb=1",
        f"glibc.malloc.mmap_threshold={32 * 2**20}",
        f"glibc.malloc.trim_threshold={256 * 2**20}",
    )
)


class Host:
    """The process of one server; `events` is what it tells."""

    def __init__(self, config: Config, box: Box | None) -> None:
        self.walled = hidden(box)
        self._box = box
        self._folder = ExitStack()
        self._mark = ""  # by which what a stranger has started is known
        self._noise: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the server)
        command, environment = [sys.executable, "-P", "-m", SERVER], server_environment()
        folder = None
        if box is not None:
            folder = self._folder.enter_context(box.folder())
            command = box.command(f"{SERVER}:main")
            tunables = environment.get("GLIBC_TUNABLES", "")
            environment = box.environment(folder) | {"GLIBC_TUNABLES": tunables}
            environment[MARK] = self._mark = secrets.token_hex(8)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._noise,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        self.command(asdict(config))
        self.events = Inbox(self.process.stdout.fileno())  # type: ignore[union-attr]

    def command(self, message: Message) -> None:
        """Tells it something. That it is dead is noticed by whoever reads its events."""
        with suppress(BrokenPipeError):
            send(self.process.stdin.fileno(), message)  # type: ignore[union-attr]

    def finish(self) -> None:
        """Lets it end its trials and itself, for about a second."""
        self.process.stdin.close()  # type: ignore[union-attr]
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(CLOSING_SECONDS)

    def end(self) -> str:
        """Ends it and, behind walls, all that it has started; returns the last that it wrote."""
        if self._noise.closed:
            return ""
        self.process.kill()
        self.process.wait()
        if self._box is not None:
            sweep(self._mark)
            self._folder.close()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr]
        with self._noise as noise:
            noise.seek(0)
            return noise.read()[-2000:].decode(errors="replace").strip()


def hidden(box: Box | None) -> bool:
    """Whether numbers of processes mean nothing across the walls, which see to everybody's end."""
    return box is not None and box.hidden


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
