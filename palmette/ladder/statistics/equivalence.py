"""Showing that something is not worse, or the same: margins fixed beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from palmette.ladder.statistics.contrast import Difference, contrast
from palmette.ladder.statistics.intervals import CONFIDENCE


@dataclass(frozen=True)
class WithinMargin:
    """A difference against a margin. `holds` at the one-sided level that was asked for.

    `low` and `high` are the one-sided limits of the difference at that level: not inferior where
    `low` is above -margin, equivalent where `high` is below it too.
    """

    difference: Difference
    margin: float
    p: float
    low: float
    high: float
    holds: bool


def non_inferior(
    a: Sequence[float], b: Sequence[float], margin: float, paired: bool, alpha: float = 0.05
) -> WithinMargin | None:
    """Whether a is above b - margin, where more is better; for losses exchange the two.

    One one-sided t test, paired or Welch's, of the hypothesis a - b <= -margin (Schuirmann 1987,
    A Comparison of the Two One-Sided Tests Procedure, the lower of the two). None for fewer than
    two values.

    Raises:
        ValueError: a margin that is not positive.

    >>> losses, before = [1.01, 1.03, 1.02], [1.0, 1.03, 1.01]
    >>> non_inferior(before, losses, margin=0.05, paired=True).holds
    True
    """
    found = contrast(a, b, paired, shift=-_checked(margin))
    return None if found is None else _made(found, margin, found.p, alpha)


def equivalent(
    a: Sequence[float], b: Sequence[float], margin: float, paired: bool, alpha: float = 0.05
) -> WithinMargin | None:
    """Whether a and b differ by less than the margin, either way.

    TOST: both one-sided tests reject (Schuirmann 1987), the larger p counts; it is the same as a
    1 - 2 alpha interval within the margins. None for fewer than two values.

    Raises:
        ValueError: a margin that is not positive.
    """
    above = contrast(a, b, paired, shift=-_checked(margin))
    below = contrast(b, a, paired, shift=-margin)
    if above is None or below is None:
        return None
    return _made(above, margin, max(above.p, below.p), alpha)


def _made(found: Difference, margin: float, p: float, alpha: float) -> WithinMargin:
    wide, narrow = special.stdtrit(found.freedom, [0.5 + CONFIDENCE / 2, 1 - alpha]).tolist()
    half = (found.high - found.value) / wide * narrow
    return WithinMargin(found, margin, p, found.value - half, found.value + half, p <= alpha)


def _checked(margin: float) -> float:
    if not margin > 0:
        raise ValueError(f"a margin is a positive number fixed beforehand, got {margin}")
    return margin
