"""A row of the table: two sides, what is wanted of their ratio, and what came out."""

from __future__ import annotations

import copy
import importlib
import pkgutil
import traceback
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.ratios.agreement import Agreement
from benchmarks.ratios.measure import Interval, Pair, Side, clock, interleave, interval, ratios


@dataclass(frozen=True)
class Wanted:
    """What a ratio should be: theirs over ours at least, or ours over theirs at most."""

    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g} x"
        return f"<= {self.at_most:g} x" if self.at_most is not None else "-"

    def read(self, ratio: float) -> float:
        """The ratio theirs / ours, turned over where the wish is a largest share."""
        return 1 / ratio if self.at_most is not None else ratio

    def met(self, ratio: float) -> bool | None:
        """Whether a ratio that was read so is as wanted; None where nothing is."""
        if self.at_least is not None:
            return ratio >= self.at_least
        return ratio <= self.at_most if self.at_most is not None else None


class Row(ABC):
    """A comparison. Setting up is cheap; `prepare` makes what the sides and the check share."""

    name: str
    """What is measured; with `against` it is this row's alone."""
    against: str
    wanted: Wanted = Wanted()
    pairs: int = 11
    unit: str = "ms"
    """'ms' for seconds shown as milliseconds, 's', 'MB' for bytes, '%' for a share."""
    clock: str | None = None
    """'wall' or 'process' where that is a matter of the row; by how quiet it was if None."""
    about: str = ""
    """What a reader has to know of the sizes."""

    def prepare(self) -> None:  # noqa: B027
        """Makes what the sides and the check share; most need nothing."""

    @abstractmethod
    def sides(self) -> tuple[Side, Side]:
        """Ours and theirs."""

    @abstractmethod
    def check(self) -> Agreement:
        """How far apart the numbers of both sides are: values and gradients."""

    def measure(self, pairs: int) -> list[Pair]:
        """The readings; interleaved runs of the sides."""
        return interleave(*self.sides(), pairs)

    def notes(self) -> dict[str, Any]:
        """What else was measured on the way, for the JSON and the lines below the table."""
        return {}


@dataclass(frozen=True)
class Outcome:
    """What came of a row: a ratio with its interval, a refusal, or an error."""

    row: Row
    agreement: Agreement | None = None
    pairs: Sequence[Pair] = ()
    error: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether the two sides do not compute the same numbers."""
        return self.agreement is not None and bool(self.agreement.faults)

    @property
    def clock(self) -> str:
        """Which time the ratio is of."""
        if self.row.unit not in ("ms", "s"):
            return "amount"
        return self.row.clock or clock(self.pairs)

    @property
    def ratio(self) -> Interval | None:
        """The median of the paired ratios, as the wish reads it."""
        if not self.pairs:
            return None
        by = "process" if self.clock == "process" else "wall"
        return interval([self.row.wanted.read(value) for value in ratios(self.pairs, by)])

    def middle(self, side: str) -> float:
        """The median reading of 'ours' or 'theirs'."""
        by = "process" if self.clock == "process" else "wall"
        return median(getattr(getattr(pair, side), by) for pair in self.pairs)

    @property
    def verdict(self) -> str:
        """In a word: 'reached', 'missed', 'refused', 'error'; '' for what is only shown."""
        if self.error is not None:
            return "error"
        if self.refused:
            return "refused"
        met = self.row.wanted.met(self.ratio.median) if self.ratio else None
        return {True: "reached", False: "missed", None: ""}[met]


def run(row: Row, pairs: int | None = None) -> Outcome:
    """Checks a row and, if both sides compute the same, measures it."""
    working = copy.copy(row)  # what it makes ends with it
    try:
        working.prepare()
        found = working.check()
        if found.faults:
            return Outcome(row, found, notes=working.notes())
        measured = working.measure(pairs or row.pairs)
        return Outcome(row, found, measured, notes=working.notes())
    except Exception:
        return Outcome(row, error=traceback.format_exc())


def rows() -> Iterator[Row]:
    """Every row of every file in `rows/`, in the order of the files' names and of each file."""
    package = importlib.import_module("benchmarks.ratios.rows")
    for found in sorted(pkgutil.iter_modules(package.__path__), key=lambda one: one.name):
        yield from importlib.import_module(f"{package.__name__}.{found.name}").rows()
