"""The corpus: text on disk, dealt into four splits once and then read as memory-mapped bytes."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from palmette.errors import CorpusError
from palmette.tasks import _documents
from palmette.tasks._base import Split
from palmette.tasks._documents import Document, Source

RULES = 1  # raised by hand whenever the same files would be dealt or cut differently
LEAST_BYTES = 200_000
SHARES = {Split.TRAIN: 0.80, Split.SELECT: 0.05, Split.SCORE: 0.05, Split.SEALED: 0.10}


@dataclass(frozen=True)
class Corpus:
    """Text in four splits.

    sha256     over the four streams; the same text split alike has the same digest anywhere
    origin     where the text came from, for people
    documents  how many documents were dealt: files, or blocks of large ones
    skipped    how many files were left out because they are not text
    sizes      bytes by split
    directory  the folder that holds the streams; workers `open` it
    """

    sha256: str
    origin: str
    documents: int
    skipped: int
    sizes: dict[Split, int]
    directory: Path
    _open: dict[Split, npt.NDArray[np.uint8]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    @classmethod
    def open(cls, directory: str | Path) -> Corpus:
        """A corpus that `load_corpus` has prepared; nothing is read but its description.

        Raises `CorpusError` when there is none or its files are damaged.
        """
        directory = Path(directory)
        again = f"delete the folder {directory} and run again"
        try:
            held = json.loads((directory / "corpus.json").read_text(encoding="utf-8"))
            sizes = {Split(name): int(size) for name, size in held["sizes"].items()}
            found = {split: _file(directory, split).stat().st_size for split in SHARES}
        except (OSError, ValueError, KeyError) as error:
            raise CorpusError(
                f"{directory} holds no complete prepared corpus ({error}); {again}"
            ) from error
        if found != sizes:
            raise CorpusError(
                f"the prepared corpus in {directory} is damaged: its splits hold "
                f"{sum(found.values())} bytes instead of {sum(sizes.values())}; {again}"
            )
        return cls(
            held["sha256"], held["origin"], held["documents"], held["skipped"], sizes, directory
        )

    def stream(self, split: Split) -> npt.NDArray[np.uint8]:
        """The bytes of a split: read-only, mapped from the file and shared by all processes."""
        if split not in self._open:
            mapped = np.memmap(_file(self.directory, split), dtype=np.uint8, mode="r")
            self._open[split] = np.asarray(mapped)
        return self._open[split]

    def __str__(self) -> str:
        sizes = ", ".join(f"{split} {size / 1e6:.2f}" for split, size in self.sizes.items())
        left_out = f", {self.skipped} files that are not text left out" if self.skipped else ""
        return (
            f"{self.origin}: {self.documents} documents{left_out}; MB: {sizes}; "
            f"SHA-256 {self.sha256[:12]}"
        )


def load_corpus(path: str | Path | None = None, cache: str | Path | None = None) -> Corpus:
    """The corpus in a file or folder of text, or the running Python's standard library.

    Documents are dealt by the SHA-256 of their contents: 80 % train, 5 % select, 5 % score, 10 %
    sealed, so that a text stays in its split when others come or go; near-duplicates go with the
    first of their group. A file over a hundredth of the corpus is dealt in blocks of a
    two-hundredth: a corpus of one file is split by blocks, and its splits are parts of one text.

    The standard library is every text file of it, its own tests included (over half of the 31 MB,
    and code like any other), and the prose of `help()` topic by topic; installed packages are not
    part of it.

    The streams are kept below `cache` (default: the user's cache folder) and found again by the
    names, sizes and times of change of the files.

    Raises `CorpusError`: nothing there, no text, a binary file, under 200 kB, an empty split,
    unreadable files, a cache folder that cannot be written.
    """
    origin, source = _origin(path)
    sources = _documents.find_sources(source)
    directory = _cache_folder(cache) / _key(source, sources)
    if directory.exists():
        return Corpus.open(directory)
    documents, skipped = _documents.read_documents(sources)
    total = sum(len(document.data) for document in documents)
    if not documents:
        what = "is not text" if source.is_file() else f"holds {skipped} files, none of them text"
        raise CorpusError(
            f"{origin} {what}: NUL bytes, or over a tenth of it is not UTF-8; "
            "--corpus wants plain text in UTF-8"
        )
    if total < LEAST_BYTES:
        raise CorpusError(
            f"{origin} holds {total / 1000:.1f} kB of text, which is too little to train and score "
            f"on; give at least {LEAST_BYTES // 1000} kB"
        )
    streams = _deal(documents)
    empty = [str(split) for split, stream in streams.items() if not stream]
    if empty:
        raise CorpusError(
            f"{origin} leaves nothing for {' and '.join(empty)}: near-duplicates stay together "
            "and too few different texts remain to deal out; give more varied text"
        )
    _write(directory, origin, len(documents), skipped, streams)
    return Corpus.open(directory)


def _origin(path: str | Path | None) -> tuple[str, Path]:
    if path is None:
        library = _documents.standard_library()
        return f"standard library of Python {platform.python_version()}", library
    try:
        resolved = Path(path).expanduser().resolve()
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, no home, a NUL
        raise CorpusError(f"{path} names no place: {error}; choose another corpus") from error
    return str(resolved), resolved


def _cache_folder(cache: str | Path | None) -> Path:
    return (Path(cache) if cache is not None else user_cache_path("palmette")) / "corpora"


def _key(source: Path, sources: list[Source]) -> str:
    files = [(each.name, each.size, each.changed_ns) for each in sources]
    return hashlib.sha256(json.dumps([RULES, str(source), files]).encode()).hexdigest()[:32]


def _deal(documents: list[Document]) -> dict[Split, bytes]:
    """The four streams, each in the order of the documents' names, one newline at the least between
    two documents.
    """
    dealt: dict[Split, list[bytes]] = {split: [] for split in SHARES}
    leaders = _documents.group_near_duplicates(documents)
    for document, leader in zip(documents, leaders, strict=True):
        ends = b"" if document.data.endswith(b"\n") else b"\n"
        dealt[_split_of(documents[leader].data)] += (document.data, ends)
    return {split: b"".join(parts) for split, parts in dealt.items()}


def _split_of(data: bytes) -> Split:
    place = int.from_bytes(hashlib.sha256(data).digest()[:8], "big") / 2**64
    for split, share in SHARES.items():
        if place < share:
            return split
        place -= share
    return Split.SEALED  # the shares sum to 1 only up to rounding


def _write(
    directory: Path, origin: str, documents: int, skipped: int, streams: dict[Split, bytes]
) -> None:
    """All files or none: they are written aside and the folder is renamed into place."""
    digest = hashlib.sha256()
    for split, stream in streams.items():
        digest.update(f"{split} {len(stream)}\n".encode())
        digest.update(stream)
    description = {
        "sha256": digest.hexdigest(),
        "origin": origin,
        "documents": documents,
        "skipped": skipped,
        "sizes": {split: len(stream) for split, stream in streams.items()},
    }
    aside: Path | None = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix="unfinished-", dir=directory.parent))
        for split, stream in streams.items():
            _file(aside, split).write_bytes(stream)
        (aside / "corpus.json").write_text(json.dumps(description), encoding="utf-8")
        aside.rename(directory)
    except OSError as error:
        if aside is not None:
            shutil.rmtree(aside, ignore_errors=True)
        if directory.exists():  # another process was faster and made the same
            return
        megabytes = sum(map(len, streams.values())) / 1e6
        raise CorpusError(
            f"cannot keep the prepared corpus ({megabytes:.1f} MB) in {directory.parent}: "
            f"{error.strerror}; free some space or name a writable cache folder (on Linux with "
            "XDG_CACHE_HOME)"
        ) from error


def _file(directory: Path, split: Split) -> Path:
    return directory / f"{split}.bin"
