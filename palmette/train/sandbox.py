"""The locked-down process, in which a stranger's file runs: no network, nothing to write, limits.

    answer = run("palmette.search.introduce:inside", {"source": text})
    answer.value        what the function returned, as JSON; None if there is a verdict instead
    answer.verdict      why there is no value: a sentence
    answer.protection   what was in force

On Linux with bubblewrap (`bwrap`, a package of every distribution) the process sees the Python
installation and nothing else of the disk, all of it read-only, has an empty temporary folder, no
network and no sight of other processes. Without bubblewrap the kernel's own limits remain, and
`protection` says so. Either way the answer comes over a pipe of its own in a frame with a secret,
everything that was started is killed at the end, and the environment holds no keys.

This protects the machine. It cannot keep a file that means to deceive from deceiving: gates and the
file's code share a process.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import shutil
import signal
import site
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, TypeAlias

import palmette
from palmette.train.inside import ANSWER_BYTES
from palmette.train.process import descendants, kill_group, resident_bytes

Kind: TypeAlias = Literal["bubblewrap", "namespaces", "limits"]

SAMPLE_SECONDS = 0.05
MARK = "PALMETTE_BOX"  # in the environment of all that was started here
NOISE_BYTES = 4000  # of what it wrote to standard error last
PRIVATE = "/private"  # its working and temporary folder, under bubblewrap
TMPFS_BYTES = 64 * 2**20
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SENTENCES: dict[Kind, str] = {
    "bubblewrap": "bubblewrap: no network, read-only files, private processes",
    "namespaces": (
        "resource limits, no network and private processes only: bubblewrap {why}, so the file "
        "can read your files"
    ),
    "limits": (
        "resource limits only: bubblewrap {why}, so the file can read your files, use the "
        "network and end your programs"
    ),
}


@dataclass(frozen=True)
class Limits:
    """What a locked-down process may use.

    wall_seconds   from its start to its answer
    cpu_seconds    of each of its processes; None for no limit of its own
    memory_bytes   resident, all of its processes together, libraries of about 0.4 GiB included
    processes      at once, beyond the first; 0 for no limit
    file_bytes     of any one file that it writes in its temporary folder
    open_files     at once, a process
    """

    wall_seconds: float = 60.0
    cpu_seconds: int | None = 60
    memory_bytes: int = 2**31
    processes: int = 16
    file_bytes: int = 2**24
    open_files: int = 256


@dataclass(frozen=True)
class Answer:
    """What came of a locked-down call: a value, or a verdict that says why there is none."""

    value: Any
    verdict: str | None
    protection: str
    seconds: float


@cache
def best_kind() -> Kind:
    """The strongest walls that this machine has, tried out once."""
    if (bwrap := shutil.which("bwrap")) and _works(
        [bwrap, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    ):
        return "bubblewrap"
    probe = "from palmette.train.inside import unshare; unshare()"
    if sys.platform == "linux" and _works([sys.executable, "-c", probe]):
        return "namespaces"
    return "limits"


@dataclass(frozen=True)
class Box:
    """The walls around a process: which paths it can read and write besides Python's own, and
    which folders it can also import from. `variables` are further ones of its environment.

    >>> Box(kind="bubblewrap").protection
    'bubblewrap: no network, read-only files, private processes'
    """

    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    importable: tuple[Path, ...] = ()
    kind: Kind = field(default_factory=best_kind)
    limits: Limits = Limits()
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def protection(self) -> str:
        """The sentence that says what is in force."""
        found = shutil.which("bwrap") is not None
        why = "does not work here" if found else "is not installed"
        return SENTENCES[self.kind].format(why=why)

    @property
    def hidden(self) -> bool:
        """Whether its processes have numbers of their own, which mean nothing outside."""
        return self.kind != "limits"

    def command(self, run: str) -> list[str]:
        """The command that calls `run`, a module:function, behind the walls."""
        orders = {
            "run": run,
            "limits": asdict(self.limits),
            "namespaces": self.kind == "namespaces",
            "parent": 0 if self.kind == "bubblewrap" else os.getpid(),
        }
        python = [sys.executable, "-P", "-B", "-m", "palmette.train.inside", json.dumps(orders)]
        return [*self._walls(), *python] if self.kind == "bubblewrap" else python

    def environment(self, own: str | None = None) -> dict[str, str]:
        """What it finds in its environment: nothing of the user's. `own` is what `folder` gave."""
        own = own or PRIVATE
        found = {
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "USER": "palmette",
            "HOME": own,
            "TMPDIR": own,
            "PYTHONPATH": os.pathsep.join(map(str, (*import_paths(), *self.importable))),
            "PYTHONDONTWRITEBYTECODE": "1",
            **dict.fromkeys(THREADS, "1"),
        }
        for name in ("GLIBC_TUNABLES", "LD_LIBRARY_PATH"):  # how torch was made to run here
            if name in os.environ:
                found[name] = os.environ[name]
        return found | dict(self.variables)

    @contextmanager
    def folder(self) -> Iterator[str | None]:
        """The working folder to start it in: an empty one of its own; None if the walls make it."""
        if self.kind == "bubblewrap":
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="palmette-", ignore_cleanup_errors=True) as own:
            yield own

    def _walls(self) -> list[str]:
        bwrap = shutil.which("bwrap")
        assert bwrap, "a box of bubblewrap was asked for where there is none"
        words = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
        for path in ("/usr", "/nix/store", "/sys/devices/system/cpu", "/etc/ld.so.cache"):
            words += ["--ro-bind-try", path, path]
        for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
            link = Path("/", name)
            if link.is_symlink():
                words += ["--symlink", str(link.readlink()), str(link)]
            else:
                words += ["--ro-bind-try", str(link), str(link)]
        words += ["--proc", "/proc", "--dev", "/dev", "--size", str(TMPFS_BYTES)]
        words += ["--tmpfs", "/dev/shm", "--size", str(TMPFS_BYTES), "--tmpfs", PRIVATE]
        for read in (*python_paths(), *self.readable, *self.importable):
            words += ["--ro-bind", str(read.absolute()), str(read.absolute())]
        for write in self.writable:
            words += ["--bind", str(write.absolute()), str(write.absolute())]
        return [*words, "--chdir", PRIVATE, "--remount-ro", "/dev", "--remount-ro", "/", "--"]


def run(
    function: str,
    argument: Any,
    limits: Limits | None = None,
    importable: Sequence[Path] = (),
    kind: Kind | None = None,
) -> Answer:
    """Calls `function` (module:function) with a JSON value in a locked-down process.

    It never raises for what the process does: whatever comes, there is an answer within the wall
    time, and nothing is left behind.
    """
    box = Box((), (), tuple(importable), kind or best_kind(), limits or Limits())
    with box.folder() as own:
        return _Call(box, own).ask(function, argument)


class _Call:
    """One locked-down process, from its start to its answer."""

    def __init__(self, box: Box, own: str | None) -> None:
        self.box = box
        self.began = perf_counter()
        self.secret = secrets.token_hex(16)
        self.said = bytearray()  # in its pipe of answers
        self.noise = b""
        self.answers, self.pipe = os.pipe()
        self.mark = secrets.token_hex(8)
        environment = box.environment(own) | {MARK: self.mark}
        self.process = subprocess.Popen(
            box.command("palmette.train.inside:answer"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(self.pipe,),
            env=environment,
            cwd=own or "/",
            start_new_session=True,
        )

    def ask(self, function: str, argument: Any) -> Answer:
        request = {
            "secret": self.secret,
            "function": function,
            "argument": argument,
            "pipe": self.pipe,
        }
        stdin, stderr = self.process.stdin, self.process.stderr
        assert stdin is not None
        assert stderr is not None
        try:
            with suppress(BrokenPipeError), stdin:
                stdin.write(json.dumps(request).encode())
            os.close(self.pipe)
            for pipe in (self.answers, stderr.fileno()):
                os.set_blocking(pipe, False)
            verdict = self._wait(stderr.fileno())
        finally:
            self._end()
            self._read(self.answers, stderr.fileno())
            os.close(self.answers)
            stderr.close()
        value, whole = self._value()
        if not whole:
            verdict = verdict or self._cause()
        seconds = perf_counter() - self.began
        return Answer(value, None if whole else verdict, self.box.protection, seconds)

    def _wait(self, stderr: int) -> str | None:
        """Until it has answered, ended or gone too far; the verdict in the last case."""
        limits = self.box.limits
        sampled = 0.0
        with selectors.DefaultSelector() as selector:
            for pipe in (self.answers, stderr):
                selector.register(pipe, selectors.EVENT_READ)
            while self.process.poll() is None and not self._value()[1]:
                for ready, _ in selector.select(SAMPLE_SECONDS):
                    if not self._read(ready.fd):
                        selector.unregister(ready.fd)
                if not selector.get_map():
                    with suppress(subprocess.TimeoutExpired):
                        self.process.wait(SAMPLE_SECONDS)
                if self.said and not self._expected():
                    return None  # `_cause` tells it
                now = perf_counter()
                if now - self.began > limits.wall_seconds:
                    return f"it had not finished after {limits.wall_seconds:g} s"
                if now - sampled < SAMPLE_SECONDS:
                    continue
                sampled = now
                count = sum(1 for _ in descendants(self.process.pid))
                if limits.processes and count > limits.processes + 3:  # with those of the walls
                    return f"it started more than {limits.processes} processes"
                if resident_bytes(self.process.pid) > limits.memory_bytes:
                    return f"it used more than {limits.memory_bytes / 2**30:.3g} GiB of memory"
        return None

    def _read(self, *pipes: int) -> bool:
        """Takes in what has been written; False at the end of one of them."""
        for pipe in pipes:
            with suppress(BlockingIOError):
                data = os.read(pipe, 1 << 20)
                if pipe == self.answers:
                    self.said += data
                else:
                    self.noise = (self.noise + data)[-NOISE_BYTES:]
                if not data:
                    return False
        return True

    def _expected(self) -> bool:
        """Whether what is in the pipe begins like an answer that knows the secret."""
        head = f"{self.secret} ".encode()
        begins = self.said[: len(head)] == head[: len(self.said)]
        return begins and len(self.said) <= ANSWER_BYTES

    def _value(self) -> tuple[Any, bool]:
        """The value of a whole answer, and whether there is one."""
        words = bytes(self.said[:100]).partition(b"\n")[0].split()
        if len(words) != 2 or not self._expected():
            return None, False
        begin, size = self.said.index(b"\n") + 1, int(words[1])
        if len(self.said) < begin + size:
            return None, False
        return json.loads(self.said[begin : begin + size]), True

    def _cause(self) -> str:
        """Why there is no answer."""
        if self.said and not self._expected():
            return (
                "something other than the answer was written into its pipe, so nothing that it "
                "said is believed"
            )
        code = self.process.returncode
        if code > 128 and self.box.hidden:  # as shells and bubblewrap tell of signals
            code = 128 - code
        if code == -signal.SIGXCPU:
            return f"it used more than {self.box.limits.cpu_seconds} s of processor time"
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        last = self.noise.decode(errors="replace").strip().rpartition("\n")[2][-300:]
        said = f"; the last it wrote was: {last}" if last else ""
        return f"its process ended with status {code} before it had answered{said}"

    def _end(self) -> None:
        """Kills all of it. Behind walls the first process takes the others along."""
        started = [*descendants(self.process.pid)]
        kill_group(self.process.pid)
        self.process.kill()
        self.process.wait()
        if self.box.kind != "bubblewrap":
            for pid in started:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            sweep(self.mark)


def sweep(mark: str) -> None:
    """Kills the processes that have this mark in the environment that they were started with."""
    wanted = f"{MARK}={mark}".encode()
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                os.kill(int(path.parent.name), signal.SIGKILL)


def _works(command: list[str]) -> bool:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, import_paths()))}
    try:
        tried = subprocess.run(command, capture_output=True, timeout=20, env=environment)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def python_paths() -> list[Path]:
    """What has to be readable for this Python and its packages to work."""
    package = Path(palmette.__file__).resolve().parent
    wanted = [Path(sys.base_prefix), Path(sys.prefix), Path(sys.executable).parent]
    wanted += [Path(os.path.realpath(sys.executable)).parent, *import_paths()[1:], package]
    kept: list[Path] = []
    for path in dict.fromkeys(wanted):
        system = any(path.is_relative_to(root) for root in ("/usr", "/lib", "/bin", "/nix/store"))
        if path.exists() and not system and not any(path.is_relative_to(k) for k in kept):
            kept.append(path)
    return kept


def import_paths() -> list[Path]:
    """Where it imports from: what is installed for this Python, and what PYTHONPATH names.

    The first is the folder that holds palmette, of which nothing else can be seen.
    """
    installed = [Path(sys.prefix), Path(sys.base_prefix), Path(site.getusersitepackages())]
    paths = [Path(palmette.__file__).resolve().parents[1]]
    for entry in (Path(entry).absolute() for entry in sys.path if entry):
        if entry.exists() and any(entry.is_relative_to(place) for place in installed):
            paths.append(entry)
    named = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths += [path.absolute() for path in map(Path, named) if path.exists()]
    return list(dict.fromkeys(paths))
