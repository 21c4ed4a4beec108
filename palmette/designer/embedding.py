"""Vectors of texts from an embedding model, kept in the user's cache folder.

A text is sent once for each model: its vector is found again by the digest of both. Vectors are
what a server said; they order cards and do nothing else. Where the server does not give any, cards
are found by their words alone; that is told once.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from platformdirs import user_cache_path

from palmette.designer.endpoint import CallError, Endpoint, Message, Request
from palmette.designer.money import Ledger

LONGEST = 65_536  # numbers of a vector
Vector = list[float]


class Vectors:
    """The vectors that `model` gives, for `knowledge.retrieve`; safe to use from several threads.

    `fault` says what went wrong; nothing is asked any more then.
    """

    def __init__(
        self, endpoint: Endpoint, model: str, ledger: Ledger, folder: Path | None = None
    ) -> None:
        self.model = model
        self.fault: str | None = None
        self._told = False
        self._endpoint = endpoint
        self._ledger = ledger
        self._folder = (folder or user_cache_path("palmette")) / "embeddings"
        self._held: dict[str, Vector] = {}
        self._lock = threading.Lock()

    def __call__(self, question: str, texts: Sequence[str]) -> list[Vector] | None:
        """A vector for the question and for each text, or None if none can be had.

        The question is not kept: it will hardly be asked again.
        """
        with self._lock:
            if self.fault is not None:
                return None
            missing = [text for text in dict.fromkeys(texts) if not self._known(text)]
            try:
                fresh = self._asked([question, *missing])
            except CallError as error:
                self.fault = (
                    f"cards are found by words alone: {self.model} embeds nothing ({error})"
                )
                return None
            for text, vector in zip(missing, fresh[1:], strict=True):
                self._keep(text, vector)
            found = [fresh[0], *(self._held[self._digest(text)] for text in texts)]
            if len({len(vector) for vector in found}) > 1:
                self.fault = (
                    f"cards are found by words alone: vectors of {self.model} differ in size"
                )
                return None
            return found

    def tell(self) -> bool:
        """Whether there is a fault that nobody was told of; true once."""
        with self._lock:
            new = self.fault is not None and not self._told
            self._told = self._told or new
            return new

    def _asked(self, texts: Sequence[str]) -> list[Vector]:
        request = Request(tuple(Message("user", text) for text in texts), most_tokens=0)
        with self._ledger.reserve(self.model, request) as paid:
            vectors = self._endpoint.embed(self.model, texts)
            paid.settle(request.tokens, 0)
        if len(vectors) != len(texts) or not all(map(_sane, vectors)):
            raise CallError("bad answer", f"wanted {len(texts)} vectors of finite numbers")
        return vectors

    def _known(self, text: str) -> bool:
        digest = self._digest(text)
        if digest not in self._held and (vector := _read(self._path(digest))):
            self._held[digest] = vector
        return digest in self._held

    def _keep(self, text: str, vector: Vector) -> None:
        digest = self._digest(text)
        self._held[digest] = vector
        with suppress(OSError):  # a cache that cannot be written costs another call, no more
            _write(self._path(digest), vector)

    def _path(self, digest: str) -> Path:
        return self._folder / digest[:2] / f"{digest}.npy"

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self.model}\0{text}".encode()).hexdigest()


def _sane(vector: Sequence[float]) -> bool:
    return 0 < len(vector) <= LONGEST and all(math.isfinite(number) for number in vector)


def _read(path: Path) -> Vector | None:
    """A vector that was kept; None if there is none, or it is none."""
    try:
        held = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        vector = [float(number) for number in held]
    except (OSError, ValueError, TypeError, EOFError):
        return None
    return vector if _sane(vector) else None


def _write(path: Path, vector: Vector) -> None:
    """Whole or not at all, whoever else writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    number, part = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            np.save(file, np.asarray(vector, dtype=float))
        Path(part).replace(path)
    except OSError:
        Path(part).unlink(missing_ok=True)
        raise
