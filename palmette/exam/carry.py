"""Whether an advantage holds as models grow: the candidate against the strongest baseline, by rung.

It *does not carry* if it has shrunk from the first rung to the last (one-sided 5 %; the rungs have
other seeds, so this is Welch's test of two differences), or if its interval lay above zero on the
first and no longer does on the last. It *carries* if it has not shrunk and lies above zero on the
last. Otherwise there was nothing to carry, or too little to tell. For the claim of efficiency the
place of zero is taken by minus the margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from palmette.exam.league import rivals
from palmette.exam.rule import entry_of, paired
from palmette.ladder.statistics import CONFIDENCE, difference_parts
from palmette.records import CarryPoint, Contrast, Entry, ExamPlan, Hypothesis, Sat, Span

Carries = Literal["carries", "does not carry", "not told"]
SHRINKS = 0.05  # one-sided, for a change to count as one


@dataclass(frozen=True)
class Advantage:
    """The candidate's mean less the strongest baseline's, with its standard error."""

    rung: str
    against: str
    value: float
    error: float
    freedom: float

    @property
    def span(self) -> Span:
        """With the 95 % interval of Student's t."""
        half = float(special.stdtrit(self.freedom, 0.5 + CONFIDENCE / 2)) * self.error
        return Span(value=self.value, low=self.value - half, high=self.value + half)


def carry(
    plan: ExamPlan, hypothesis: Hypothesis, sat: Sequence[Sat], contrasts: Sequence[Contrast]
) -> tuple[tuple[CarryPoint, ...], Carries]:
    """The advantage at every rung, and whether it carries; not told where a baseline is missing.

    `contrasts` are those of the last rung against the human baselines of the league: there the
    seeds of the look that decided count, and none that came later.
    """
    entry = entry_of(plan, hypothesis.candidate)
    others = rivals(entry, plan.entries, hypothesis.league)
    held = {(one.label, one.rung): one for one in sat}
    made: list[Advantage | None] = []
    for rung in plan.rungs[:-1]:
        found = [_advantage(plan, entry, one, held, rung.name, rung.seeds) for one in others]
        complete = [one for one in found if one is not None]
        known = complete and len(complete) == len(others)
        made.append(min(complete, key=lambda one: one.value) if known else None)
    best, last = best_rival(contrasts), plan.rungs[-1].name
    made.append(
        _advantage(plan, entry, entry_of(plan, best.against), held, last, best.seeds)
        if best
        else None
    )
    floor = -plan.score_margin if hypothesis.claim == "efficiency" else 0.0
    points = tuple(
        CarryPoint(
            rung=rung.name,
            against=one.against if one else None,
            advantage=one.span if one else None,
        )
        for rung, one in zip(plan.rungs, made, strict=True)
    )
    return points, told(made[0], made[-1], floor) if len(made) > 1 else "not told"


def told(first: Advantage | None, last: Advantage | None, floor: float = 0.0) -> Carries:
    """The rule: what the advantages of the first and the last rung say.

    >>> small = Advantage("1", "gpt2", 0.50, 0.01, 7)
    >>> large = Advantage("3", "hybrid", 0.10, 0.01, 7)
    >>> told(small, large), told(large, small)
    ('does not carry', 'carries')
    """
    if first is None or last is None:
        return "not told"
    before, after = first.span.low > floor, last.span.low > floor
    if shrinks(first, last) or (before and not after):
        return "does not carry"
    return "carries" if after else "not told"


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


def best_rival(contrasts: Sequence[Contrast]) -> Contrast | None:
    """The strongest rival: who leaves the candidate the smallest difference."""
    best: Contrast | None = None
    for one in contrasts:
        if one.difference and (
            best is None or best.difference is None or one.difference.value < best.difference.value
        ):
            best = one
    return best


def _advantage(
    plan: ExamPlan,
    entry: Entry,
    rival: Entry,
    held: dict[tuple[str, str], Sat],
    rung: str,
    seeds: int,
) -> Advantage | None:
    own, other = held.get((entry.label, rung)), held.get((rival.label, rung))
    if own is None or other is None or seeds < 2:
        return None
    if min(len(own.scores), len(other.scores)) < seeds:
        return None
    value, error, freedom = difference_parts(
        np.array(own.scores[:seeds]), np.array(other.scores[:seeds]), paired(plan, entry, rival)
    )
    return Advantage(rung, rival.label, float(value), float(error), float(freedom))
