"""Forest plots: intervals below one another on one axis, as places in per cent of its width."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from palmette.records import Span

MARGIN = 2.0  # per cent of the width on either side
REACH = 6.0  # an end may lie so many median half-widths beyond all values before it is cut off
TICKS = 6  # about

Standing = Literal["above", "below", "within"]


@dataclass(frozen=True)
class Mark:
    """An interval on the axis; `cut_low`, `cut_high`: it goes on beyond the plot's edge."""

    low: float
    middle: float
    high: float
    cut_low: bool
    cut_high: bool
    standing: Standing


@dataclass(frozen=True)
class Forest:
    """A mark for each row, None where there is no interval; ticks by place and value."""

    marks: tuple[Mark | None, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float


def forest(spans: Sequence[Span | None]) -> Forest | None:
    """All intervals, with zero on the axis; None without any.

    One interval that is much wider than the others, of two genomes say, does not press them
    together: it is cut off at the edge.
    """
    known = [span for span in spans if span]
    if not known:
        return None
    low, high = _ends(known)
    step = _step((high - low) / TICKS)

    def place(value: float) -> float:
        inside = min(max(value, low), high)
        return round(MARGIN + (100 - 2 * MARGIN) * (inside - low) / (high - low), 2)

    def mark(span: Span | None) -> Mark | None:
        if span is None:
            return None
        standing: Standing = "above" if span.low > 0 else "below" if span.high < 0 else "within"
        places = (place(span.low), place(span.value), place(span.high))
        return Mark(*places, span.low < low, span.high > high, standing)

    digits = max(0, -math.floor(math.log10(step)))
    numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
    ticks = tuple((place(n * step), _label(n * step, digits)) for n in numbers)
    return Forest(tuple(mark(span) for span in spans), ticks, place(0.0))


def _ends(spans: Sequence[Span]) -> tuple[float, float]:
    values = [0.0, *(span.value for span in spans)]
    reach = REACH * median((span.high - span.low) / 2 for span in spans)
    low = max(min(0.0, *(span.low for span in spans)), min(values) - reach)
    high = min(max(0.0, *(span.high for span in spans)), max(values) + reach)
    if low == high:
        return -1.0, 1.0
    room = 0.03 * (high - low)
    return low - room * (low < 0), high + room * (high > 0)


def _step(least: float) -> float:
    """The next of 1, 2, 5, 10, … times a power of ten."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * nice for nice in (1, 2, 5, 10) if power * nice >= least * (1 - 1e-9))


def _label(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else "0"
