"""From a folder to documents: which files are text, which are near-duplicates, what is one piece.

A document is what goes to one split as a whole. It is a file; but a file over a hundredth of the
corpus is cut into blocks of a two-hundredth, so that a corpus of few files, or one, can be split.
"""

from __future__ import annotations

import ast
import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from palmette.errors import CorpusError

TEXT_SUFFIXES = frozenset(
    f".{suffix}"
    for group in (
        "txt md rst tex org adoc html htm xml css json toml yaml yml ini cfg csv tsv",
        "py pyi c h cc cpp hpp cu cs java kt scala go rs swift js jsx ts tsx rb pl php lua",
        "r jl m hs ml mli lisp el scm clj ex erl f90 sh sql vim",
    )
    for suffix in group.split()
)
SKIPPED_FOLDERS = frozenset({"site-packages", "dist-packages", "__pycache__", "node_modules"})
UNDECODABLE = 0.1  # of the characters; Latin-1 prose stays below, compressed data far above
LARGE = 100  # a file over one part in this many is cut ...
PIECES = 200  # ... into blocks of at most one part in this many
WINDOW_DOUBLINGS = 5  # near-duplicates share windows of 2^5 bytes, whitespace aside
SAMPLED = 16  # one window in so many is compared, chosen by content
NEIGHBOURS = 32  # a window's holder is compared with so many next holders
SHARED = 0.5  # of two documents' windows together, for them to be near-duplicates


@dataclass(frozen=True)
class Document:
    """A file or a block of one. `name` is relative and ends in `#block` for a block."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Source:
    """A file to read: its name in the corpus, where it is, its size and time of change."""

    name: str
    path: Path
    size: int
    changed_ns: int


def standard_library() -> Path:
    """The folder of the running Python's standard library.

    Raises `CorpusError` where it is not a folder of files (a Python inside an archive).
    """
    folder = Path(sysconfig.get_path("stdlib"))
    if not folder.is_dir():
        raise CorpusError(
            f"this Python keeps no standard library sources at {folder}; "
            "give a file or folder of text with --corpus"
        )
    return folder


def find_sources(path: Path) -> list[Source]:
    """The files of a corpus, in the order of their names: `path` itself, or the text files below.

    In a folder, files count by their suffix; hidden folders, caches and installed packages do not.
    Links to folders are not followed. Raises `CorpusError`.
    """
    try:
        if path.is_file():
            return [_source(path.name, path)]
        if not path.exists():
            raise CorpusError(f"there is no corpus at {path}; --corpus wants a file or a folder")
        if not path.is_dir():
            raise CorpusError(f"{path} is neither a file nor a folder; --corpus wants one of them")
        paths = list(_files_below(path))
    except OSError as error:
        raise CorpusError(
            f"cannot read {error.filename or path}: {error.strerror}; make it readable or choose "
            "another corpus"
        ) from error
    if not paths:
        raise CorpusError(f"the folder {path} is empty; --corpus wants a file or folder of text")
    text = [below for below in paths if below.suffix.lower() in TEXT_SUFFIXES]
    if not text:
        raise CorpusError(
            f"no text in {path}: none of its {len(paths)} files has a suffix such as .txt, .md or "
            ".py; rename them, or give one file"
        )
    return sorted(
        (_source(below.relative_to(path).as_posix(), below) for below in text),
        key=lambda source: source.name,
    )


def read_documents(sources: Iterable[Source]) -> tuple[list[Document], int]:
    """The documents in the order of their names, and how many files were left out as not text.

    Raises `CorpusError` naming every file that cannot be read.
    """
    files: list[Document] = []
    unreadable: list[str] = []
    skipped = 0
    for source in sources:
        try:
            data = source.path.read_bytes()
        except OSError as error:
            unreadable.append(f"{source.path} ({error.strerror})")
            continue
        if source.name == "pydoc_data/topics.py":
            files += _topics(data)
        elif is_text(data):
            files.append(Document(source.name, data))
        else:
            skipped += 1
    if unreadable:
        shown = ", ".join(unreadable[:5]) + (" …" if len(unreadable) > 5 else "")
        raise CorpusError(
            f"cannot read {len(unreadable)} of the corpus' files: {shown}; make them readable or "
            "choose another corpus"
        )
    total = sum(len(file.data) for file in files)
    documents: list[Document] = []
    for file in files:
        if len(file.data) * LARGE > total:
            documents += _blocks(file, max(1, total // PIECES))
        else:
            documents.append(file)
    return documents, skipped


def is_text(data: bytes) -> bool:
    """Whether bytes are text: no NUL, and at most a tenth that is not UTF-8.

    >>> is_text("naïve".encode()), is_text(b"PK\\x03\\x04\\x00")
    (True, False)
    """
    if b"\0" in data:
        return False
    if data.isascii():
        return True
    text = data.decode("utf-8", errors="replace")
    return text.count("\N{REPLACEMENT CHARACTER}") <= UNDECODABLE * len(text)


def group_near_duplicates(documents: list[Document]) -> list[int]:
    """For each document the index of the first one in its group of near-duplicates.

    Whitespace is dropped and every window of 32 bytes hashed; the windows whose hash is divisible
    by 16 stand for the document. Two documents are near-duplicates if half of the windows that
    they have together are in both, or if nothing but whitespace differs. Groups are transitive.
    A document is compared with the next 32 holders of each of its windows: time stays linear in
    the corpus, and larger families of copies still join up link by link.
    """
    first = list(range(len(documents)))

    def root(index: int) -> int:
        while first[index] != index:
            first[index] = first[first[index]]
            index = first[index]
        return index

    sketches = []
    whole: dict[bytes, int] = {}
    for index, document in enumerate(documents):
        folded = document.data.translate(None, b" \t\r\n\f\v")
        first[index] = root(whole.setdefault(folded, index))
        sketches.append(_sketch(folded))
    sizes = np.array([sketch.size for sketch in sketches])
    windows = np.concatenate(sketches)
    holders = np.repeat(np.arange(len(documents)), sizes)
    order = np.argsort(windows, kind="stable")
    windows, holders = windows[order], holders[order]
    pairs = []
    for apart in range(1, NEIGHBOURS + 1):
        same = windows[apart:] == windows[:-apart]
        pairs.append(holders[:-apart][same] * len(documents) + holders[apart:][same])
    linked, shared = np.unique(np.concatenate(pairs), return_counts=True)
    one, other = linked // len(documents), linked % len(documents)
    near = shared >= SHARED * (sizes[one] + sizes[other] - shared)
    for left, right in zip(one[near].tolist(), other[near].tolist(), strict=True):
        low, high = sorted((root(left), root(right)))
        first[high] = low
    return [root(index) for index in range(len(documents))]


def _source(name: str, path: Path) -> Source:
    status = path.stat()
    return Source(name, path, status.st_size, status.st_mtime_ns)


def _files_below(folder: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")
        ]
        for name in files:
            path = Path(place, name)
            if path.is_file():  # not a broken link, a socket or a pipe
                yield path


def _topics(data: bytes) -> list[Document]:
    """The language reference that `help()` shows: prose, kept as strings in a Python file."""
    try:
        value = ast.parse(data).body[-1].value  # type: ignore[attr-defined]
        topics = {str(name): str(text) for name, text in ast.literal_eval(value).items()}
    except (SyntaxError, ValueError, IndexError, AttributeError):  # not the file it is named after
        return [Document("pydoc_data/topics.py", data)]
    return [
        Document(f"pydoc_data/topics/{name}.txt", topics[name].encode()) for name in sorted(topics)
    ]


def _blocks(file: Document, most: int) -> Iterator[Document]:
    """Blocks of at most `most` bytes, cut after a line, else a word."""
    start, number = 0, 0
    while start < len(file.data):
        end = min(start + most, len(file.data))
        if end < len(file.data):
            for mark in (b"\n", b" "):
                cut = file.data.rfind(mark, start + most // 2, end)
                if cut >= 0:
                    end = cut + 1
                    break
        yield Document(f"{file.name}#{number:05d}", file.data[start:end])
        start, number = end, number + 1


def _sketch(folded: bytes) -> npt.NDArray[np.uint64]:
    """The distinct hashes, divisible by `SAMPLED`, of all windows of 2^WINDOW_DOUBLINGS bytes."""
    hashes = _BYTE_HASHES[np.frombuffer(folded, dtype=np.uint8)]
    factor = 0x9E3779B97F4A7C15  # odd; the hash of a window is a polynomial in it, modulo 2^64
    for doubling in range(WINDOW_DOUBLINGS):
        half = 1 << doubling
        if hashes.size <= half:
            return hashes[:0]
        hashes = hashes[:-half] * np.uint64(factor) + hashes[half:]
        factor = factor * factor % 2**64
    mixed = hashes ^ (hashes >> np.uint64(29))  # a polynomial's low bits alone mix poorly
    return np.unique(mixed[mixed % np.uint64(SAMPLED) == 0])


_BYTE_HASHES = np.random.default_rng(0).integers(0, 2**64, 256, dtype=np.uint64)
