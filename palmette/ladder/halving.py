"""Asynchronous successive halving: who may climb to the next rung, decided without waiting.

Li et al. 2020 (ASHA, arXiv 1810.05934): whenever a worker is free, promote a candidate that is in
the best 1/eta of those finished at its rung and has not been promoted yet. Ours differs in three
ways: promotions begin after `patience` results, since the best of two says little; no more than
1/eta are ever promoted, where theirs promotes every new best of a series that rises, as a search's
does; and the root and the human baselines climb with the first genome that does, outside the quota.
"""

from __future__ import annotations

from collections.abc import Sequence

from palmette.ladder.results import CONTESTED, Ascent, score_at
from palmette.ladder.scales import Scale


def next_promotion(
    ascents: Sequence[Ascent],
    scale: Scale,
    proposals_over: bool = False,
    highest: int | None = None,
) -> tuple[Ascent, int] | None:
    """The candidate to promote next and the rung it goes to; None if nobody may climb.

    Higher rungs first. A rung's quota is of found genomes; a placebo climbs beside them. Once
    `proposals_over` and nothing is pending at or below a rung, its quota is rounded up and is at
    least `scale.least`, so that a short campaign also ends with results on the last rung. `highest`
    bounds the ladder (counted from 0).
    """
    top = len(scale.rungs) - 1 if highest is None else highest
    contested = [a for a in ascents if a.candidate.role in CONTESTED]
    for rung in range(top - 1, -1, -1):
        finished = [(score.mean, a) for a in contested if (score := score_at(a, rung, scale))]
        settled = proposals_over and not any(a.reached <= rung and a.pending for a in contested)
        quota = _quota(rung, sum(map(_found, finished)), scale, settled)
        if sum(_found(place) and place[1].reached > rung for place in finished) >= quota:
            continue
        for place in sorted(finished, key=lambda item: -item[0]):
            if quota <= 0:
                break
            if place[1].reached == rung:
                return place[1], rung + 1
            quota -= _found(place)
    goal = top if proposals_over else min(top, max((a.reached for a in contested), default=0))
    for ascent in ascents:
        if ascent.candidate.role in CONTESTED or ascent.reached >= goal:
            continue
        if score_at(ascent, ascent.reached, scale):
            return ascent, ascent.reached + 1
    return None


def _found(place: tuple[float, Ascent]) -> bool:
    """Placebos climb when a found genome of their score would, and take nobody's place."""
    return place[1].candidate.role == "found"


def _quota(rung: int, finished: int, scale: Scale, settled: bool) -> int:
    if settled:
        return max(-(-finished // scale.eta), scale.least)
    if rung == 0 and finished < scale.patience:
        return 0
    return finished // scale.eta
