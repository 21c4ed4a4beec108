"""Whether an advantage holds as models grow: the candidate against the strongest baseline, by rung.

The rule is `statistics.carries`, from the first rung to the last; for the claim of efficiency its
floor is minus the margin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from palmette.exam.league import rivals
from palmette.exam.rule import entry_of, paired
from palmette.ladder.statistics import Advantage, Carries, carries, difference_parts
from palmette.records import CarryPoint, Contrast, Entry, ExamPlan, Hypothesis, Sat, Span


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
    made: list[tuple[str, Advantage] | None] = []
    for rung in plan.rungs[:-1]:
        found = [_advantage(plan, entry, one, held, rung.name, rung.seeds) for one in others]
        complete = [one for one in found if one is not None]
        known = complete and len(complete) == len(others)
        made.append(min(complete, key=lambda one: one[1].value) if known else None)
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
            against=one[0] if one else None,
            advantage=_span(one[1]) if one else None,
        )
        for rung, one in zip(plan.rungs, made, strict=True)
    )
    first, final = (one[1] if one else None for one in (made[0], made[-1]))
    return points, carries(first, final, floor) if len(made) > 1 else "not told"


def best_rival(contrasts: Sequence[Contrast]) -> Contrast | None:
    """The strongest rival: who leaves the candidate the smallest difference."""
    best: Contrast | None = None
    for one in contrasts:
        if one.difference and (
            best is None or best.difference is None or one.difference.value < best.difference.value
        ):
            best = one
    return best


def strongest(contrasts: Sequence[Contrast]) -> tuple[Contrast, ...]:
    """Every rival that may be the strongest: whose difference is not shown to be larger than that
    of the strongest in the sample, its interval beginning within the other's.
    """
    best = best_rival(contrasts)
    if best is None or best.difference is None:
        return ()
    end = best.difference.high
    return tuple(one for one in contrasts if one.difference and one.difference.low <= end)


def _advantage(
    plan: ExamPlan,
    entry: Entry,
    rival: Entry,
    held: dict[tuple[str, str], Sat],
    rung: str,
    seeds: int,
) -> tuple[str, Advantage] | None:
    """Whom the candidate is held against, and by how much it is ahead."""
    own, other = held.get((entry.label, rung)), held.get((rival.label, rung))
    if own is None or other is None or seeds < 2:
        return None
    if min(len(own.scores), len(other.scores)) < seeds:
        return None
    value, error, freedom = difference_parts(
        np.array(own.scores[:seeds]), np.array(other.scores[:seeds]), paired(plan, entry, rival)
    )
    return rival.label, Advantage(float(value), float(error), float(freedom))


def _span(one: Advantage) -> Span:
    interval = one.interval
    return Span(value=interval.value, low=interval.low, high=interval.high)
