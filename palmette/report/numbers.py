"""Numbers with their doubt in few characters, for tables on paper and on the screen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from palmette.records import Span

MISSING = "–"
MOST_DECIMALS = 6


def decimals(spans: Iterable[Span | None]) -> int:
    """Decimals for a column: two digits of its median half-width matter.

    >>> decimals([Span(value=0.5, low=0.48, high=0.52), None])
    3
    """
    halves = [half for span in spans if span and (half := (span.high - span.low) / 2) > 0]
    if not halves:
        return 4
    return min(max(1 - math.floor(math.log10(median(halves))), 0), MOST_DECIMALS)


def signed(value: float | None, digits: int) -> str:
    """A change, with its sign.

    >>> signed(-0.0123, 3), signed(-0.0001, 3), signed(None, 3)
    ('−0.012', '0.000', '–')
    """
    if value is None:
        return MISSING
    text = f"{value:+.{digits}f}"
    return text.replace("-", "−") if float(text) else text[1:]


def change(span: Span | None, digits: int) -> str:
    """A change with its interval: ± where it lies evenly around the value, both ends otherwise.

    >>> change(Span(value=0.5, low=0.4, high=0.6), 2), change(Span(value=0.5, low=0, high=0.6), 1)
    ('+0.50 ± 0.10', '+0.5 [0.0, +0.6]')
    """
    if span is None:
        return MISSING
    up, down = span.high - span.value, span.value - span.low
    if abs(up - down) < 10**-digits / 2:
        return f"{signed(span.value, digits)} ± {(up + down) / 2:.{digits}f}"
    return f"{signed(span.value, digits)} {ends(span, digits)}"


def ends(span: Span, digits: int) -> str:
    """An interval alone.

    >>> ends(Span(value=0.5, low=-0.4, high=0.6), 2)
    '[−0.40, +0.60]'
    """
    return f"[{signed(span.low, digits)}, {signed(span.high, digits)}]"


def correlation(span: Span | None) -> str:
    """A correlation with its interval.

    >>> correlation(Span(value=0.5, low=-0.4, high=0.9))
    '0.5 [−0.4, 0.9]'
    """
    if span is None:
        return MISSING
    return f"{signed(span.value, 1)} {ends(span, 1)}".replace("+", "")


def percent(span: Span | None) -> str:
    """A share with its interval.

    >>> percent(Span(value=0.5, low=0.236, high=0.764))
    '50 % [24, 76]'
    """
    if span is None:
        return MISSING
    return f"{100 * span.value:.0f} % [{100 * span.low:.0f}, {100 * span.high:.0f}]"


def money(usd: float | None) -> str:
    """US dollars: cents, or two digits of what is less.

    >>> money(12.345), money(0.00123), money(0.0), money(None)
    ('12.35', '0.0012', '0', '–')
    """
    if usd is None:
        return MISSING
    if not usd:
        return "0"
    digits = max(2, 1 - math.floor(math.log10(usd)))
    return f"{usd:.{min(digits, MOST_DECIMALS)}f}"


def enumerated(names: Iterable[str], word: str = "and") -> str:
    """Names in a sentence.

    >>> enumerated(["a", "b", "c"]), enumerated(["a"])
    ('a, b and c', 'a')
    """
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
