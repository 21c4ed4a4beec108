"""Native libraries: built once, kept under a digest, checked before they are loaded.

A library's file is named after the SHA-256 of all that decides it: its sources, its macros, the
flags, the compiler's version. Beside it stands the SHA-256 of the file itself, so that a file that
was cut short or changed is not loaded but built again. Builds of the same library wait for one
another (a lock on a file), and a finished file appears under its name at once, so any number of
processes may ask at the same time.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from platformdirs import user_cache_path

from palmette.ops.kernels.native.compiler import (
    FLAGS,
    INSTRUCTIONS,
    NativeError,
    compiler,
    instructions,
)

SOURCES = Path(__file__).parent
BUILD_SECONDS_LIMIT = 300


@dataclass(frozen=True)
class Build:
    """What to build: `source`.cpp of this folder, macros (name, value), and for which machine."""

    source: str
    macros: tuple[tuple[str, str], ...] = ()
    instructions: str = ""  # a key of INSTRUCTIONS; the widest here if empty

    def flags(self) -> tuple[str, ...]:
        """All flags of the compiler; PALMETTE_CXXFLAGS adds to them (a sanitizer, say)."""
        chosen = INSTRUCTIONS[self.instructions or instructions()]
        macros = (f"-D{name}={value}" for name, value in self.macros)
        extra = os.environ.get("PALMETTE_CXXFLAGS", "").split()
        return (*FLAGS, *chosen, *macros, *extra)

    def key(self) -> str:
        """SHA-256 over sources, flags and compiler, as hex."""
        digest = hashlib.sha256()
        for path in (*sorted(SOURCES.glob("*.h")), SOURCES / f"{self.source}.cpp"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
        made_by = compiler()
        for text in (*made_by.command, made_by.version, *self.flags()):
            digest.update(text.encode() + b"\0")
        return digest.hexdigest()

    def file(self) -> str:
        """The name of the library's file."""
        return f"{self.source}-{self.key()[:32]}.so"


def folder() -> Path:
    """Where libraries are kept; PALMETTE_KERNELS names another place."""
    chosen = os.environ.get("PALMETTE_KERNELS")
    return Path(chosen) if chosen else user_cache_path("palmette") / "kernels"


@cache
def library(source: str, *macros: tuple[str, str], instructions: str = "") -> ctypes.CDLL:
    """The loaded library of `source`.cpp, built if it is not there or not whole.

    Raises `NativeError` if it can neither be found nor built.
    """
    path = built(Build(source, macros, instructions))
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise NativeError(f"the kernel {source} was built but cannot be loaded: {error}") from None


def built(build: Build) -> Path:
    """The library's file, whole: the one that is kept, or else a new one."""
    path = folder() / build.file()
    if whole(path):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")):
            if not whole(path):  # another process may have been first
                _compile(build, path)
    except OSError as error:
        raise NativeError(
            f"the kernel {build.source} cannot be kept in {path.parent}: {error}; "
            "name another folder in the environment variable PALMETTE_KERNELS"
        ) from None
    return path


def whole(path: Path) -> bool:
    """Whether the file is there and is the one that was built."""
    try:
        wanted = path.with_suffix(".sha256").read_text()
        return hashlib.sha256(path.read_bytes()).hexdigest() == wanted
    except OSError:
        return False


def _compile(build: Build, path: Path) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as scratch:
        made = Path(scratch) / "library.so"
        source = SOURCES / f"{build.source}.cpp"
        command = [*compiler().command, str(source), "-o", str(made), *build.flags(), "-lpthread"]
        try:
            said = subprocess.run(
                command, capture_output=True, text=True, timeout=BUILD_SECONDS_LIMIT
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NativeError(f"the kernel {build.source} cannot be built: {error}") from None
        if said.returncode != 0:
            raise NativeError(
                f"{compiler().version} refused the kernel {build.source}:\n{said.stderr[-2000:]}"
            )
        digest = Path(scratch) / "library.sha256"
        digest.write_text(hashlib.sha256(made.read_bytes()).hexdigest())
        path.with_suffix(".sha256").unlink(missing_ok=True)
        made.replace(path)
        digest.replace(path.with_suffix(".sha256"))


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@cache
def unavailable() -> str | None:
    """Why native kernels cannot be used on this machine; None if they can."""
    try:
        library("probe")
    except NativeError as error:
        return str(error)
    return None


@cache
def described() -> str:
    """The compiler and the instructions that native kernels use here, in a few words."""
    return f"{instructions()}, {compiler().version}"
