"""Whether an advantage holds as models grow: the rule, from the smallest size and the largest.

It *does not carry* if it is shown to have shrunk (one-sided 5 %; sizes have other seeds, so this is
Welch's test of two differences). It *carries* if it is not, and shown to lie above the floor at the
largest size. Otherwise there was nothing to carry, or too little to tell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import special

from palmette.ladder.statistics.intervals import CONFIDENCE, Estimate

Carries = Literal["carries", "does not carry", "not told"]
SHRINKS = 0.05  # one-sided, for a change to count as one


@dataclass(frozen=True)
class Advantage:
    """One's mean less another's at one size, with its standard error and degrees of freedom."""

    value: float
    error: float
    freedom: float

    @property
    def interval(self) -> Estimate:
        """With the 95 % interval of Student's t."""
        half = float(special.stdtrit(self.freedom, 0.5 + CONFIDENCE / 2)) * self.error
        return Estimate(self.value, self.value - half, self.value + half)


def carries(first: Advantage | None, last: Advantage | None, floor: float = 0.0) -> Carries:
    """What the advantages at the smallest and the largest size say; `not told` without both.

    >>> small, large = Advantage(0.50, 0.01, 7), Advantage(0.10, 0.01, 7)
    >>> carries(small, large), carries(large, small)
    ('does not carry', 'carries')
    """
    if first is None or last is None:
        return "not told"
    if shrinks(first, last):
        return "does not carry"
    return "carries" if last.interval.low > floor else "not told"


def shrinks(first: Advantage, last: Advantage) -> bool:
    """Whether the last is lower than the first, beyond the noise of both (Welch 1947)."""
    variance = first.error**2 + last.error**2
    change = last.value - first.value
    if variance == 0:
        return change < 0
    freedom = variance**2 / sum(
        one.error**4 / one.freedom for one in (first, last) if one.error > 0
    )
    return bool(special.stdtr(freedom, change / math.sqrt(variance)) <= SHRINKS)
