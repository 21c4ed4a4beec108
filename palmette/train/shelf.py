"""Arrays kept in files: what every trial of a seed reads is drawn once and then mapped by all.

A file is named after the SHA-256 of what its arrays are about. It appears under its name whole or
not at all, and holds the SHA-256 of its own contents, so that one that was damaged is drawn again.
Pages of a mapped file are shared by all processes that read it. A folder that cannot be written
(behind walls, on a full disk) costs the drawing and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]

LIMIT_BYTES = 2**29  # of all files together; the ones that were not used for longest go first
ALIGNMENT = 64  # bytes; where an array begins
HEAD_BYTES = 4096
SUFFIX = ".arrays"


def default_folder() -> Path:
    """Where arrays are kept; the environment variable PALMETTE_DRAWN names another place."""
    chosen = os.environ.get("PALMETTE_DRAWN")
    return Path(chosen) if chosen else user_cache_path("palmette") / "drawn"


@dataclass(frozen=True)
class Shelf:
    """A folder of files of arrays, together at most `limit_bytes`."""

    folder: Path
    limit_bytes: int = LIMIT_BYTES

    def arrays(self, about: str, make: Callable[[], Arrays]) -> Arrays:
        """The arrays that `about` decides, read-only: from their file, or else made and kept."""
        path = self.folder / (hashlib.sha256(about.encode()).hexdigest()[:32] + SUFFIX)
        held = _read(path)
        if held is not None:
            with suppress(OSError):
                os.utime(path)
            return held
        made = make()
        if sum(array.nbytes for array in made.values()) < self.limit_bytes // 4:
            with suppress(OSError):
                self._keep(path, made)
        return made

    def _keep(self, path: Path, arrays: Arrays) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(dir=self.folder, prefix="unfinished-")
        try:
            with os.fdopen(number, "wb") as file:
                file.write(_packed(arrays))
            Path(name).replace(path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        self._make_room()

    def _make_room(self) -> None:
        found = []
        for path in self.folder.iterdir():
            with suppress(OSError):  # another process made room as well
                status = path.stat()
                found.append((status.st_mtime_ns, status.st_size, path))
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= self.limit_bytes:
                return
            path.unlink(missing_ok=True)
            left -= size


def _packed(arrays: Arrays) -> bytes:
    """A line of JSON that says what follows, filled up to `HEAD_BYTES`; then the arrays."""
    body = bytearray()
    entries = []
    for name, array in arrays.items():
        body += bytes(-len(body) % ALIGNMENT)
        entries.append([name, array.dtype.str, list(array.shape), len(body)])
        body += np.ascontiguousarray(array).tobytes()
    head = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "arrays": entries}
    line = json.dumps(head).encode()
    assert len(line) < HEAD_BYTES, "too many arrays for one file"
    return line.ljust(HEAD_BYTES - 1) + b"\n" + body


def _read(path: Path) -> Arrays | None:
    """The arrays of a file that is whole; None if there is none."""
    try:
        held = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
        head = json.loads(held[:HEAD_BYTES].tobytes())
        body = held[HEAD_BYTES:]
        if len(body) != head["bytes"] or hashlib.sha256(body.data).hexdigest() != head["sha256"]:
            return None
    except (OSError, ValueError, KeyError):
        return None
    arrays = {}
    for name, dtype, shape, begin in head["arrays"]:
        kind = np.dtype(dtype)
        size = kind.itemsize * int(np.prod(shape))
        arrays[name] = body[begin : begin + size].view(kind).reshape(shape)
    return arrays
