"""Errors for the reader: what was wanted, what came, the next step.

PalmetteError
├── UserError             the user's mistake; the command line exits with 2 and nothing is lost
│   ├── GenomeError       a genome's text; carries every fault with its place
│   ├── UnknownNameError  a name that no registry or store holds; carries suggestions
│   ├── CorpusError       the text to train on
│   └── StorageError      the store: its URL, its version, its disk, its lock
└── TrialError            a trial that ran and failed (diverged, no gradient, out of memory)
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from dataclasses import dataclass

GROUND = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EROFS,
        errno.EACCES,
        errno.EPERM,
        errno.EIO,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    }
)
"""Codes of an `OSError` that the disk, its rights or a name on it are to blame for, whatever was
being written: trying again changes nothing, and the user can mend it.
"""


class PalmetteError(Exception):
    """The root of everything palmette raises on purpose."""


class UserError(PalmetteError, ValueError):
    """The user's mistake: one clear sentence and the next step."""


@dataclass(frozen=True)
class Fault:
    """One fault of a genome's text. `line` and `column` count from 1; 0 means the whole text."""

    line: int
    column: int
    message: str

    def __str__(self) -> str:
        place = f"line {self.line}, column {self.column}: " if self.line else ""
        return place + self.message


def _told(fault: Fault) -> str:
    return f"genome {fault}" if fault.line else f"genome: {fault}"


class GenomeError(UserError):
    """A text that is not a genome; `faults` holds all of its faults, in the order of the text."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(_told, self.faults)))


class UnknownNameError(UserError):
    """A name that is not there, with the nearest ones that are.

    >>> print(UnknownNameError("task", "txet", ["text", "recall"]))
    no task is called 'txet'; did you mean 'text'? There are: recall, text
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=2)
        meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
        listed = f" There are: {', '.join(known)}" if known else " There are none."
        super().__init__(f"no {kind} is called {name!r}{meant}{listed}")


class CorpusError(UserError):
    """A corpus that is missing, empty or not text."""


class StorageError(UserError):
    """A store that cannot be opened, read or written."""


class TrialError(PalmetteError):
    """A trial that ran and failed for a reason of its own; it is not tried again."""
