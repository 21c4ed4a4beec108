"""Exams in which nothing is to be found, resampled from what this one has measured.

The values of an entry on the last rung are its mean and residuals. What a seed did to all entries
that share it is in their residuals alike, so whole seeds are drawn, with replacement, and pairing
survives; entries that were trained apart are drawn apart. Means are what was measured, except the
candidate's, which is put on the strongest baseline's of its league: the least favourable case, for
an intersection-union test comes closest to its alpha where one rival is equal and others are not.
Held-out text counts as no worse, which lets through more. Each exam is then judged by the rule.

Residuals around a mean of n values are too small by sqrt((n - 1) / n) and are scaled up by that
(Davison and Hinkley 1997, Bootstrap Methods and their Application, section 2.3). A handful of seeds
would now and then be drawn as one seed four times, with no spread at all and a p of 0. So the
bootstrap is smoothed (Silverman and Young 1987, The Bootstrap: to Smooth or not to Smooth?): a
normal draw with the residuals' own covariance is added and all shrunk to the measured variance.
Its width is the normal rule's (Silverman 1986, Density Estimation, equation 3.28). What the rate
then is over many exams with normal noise stands in tests/exam/test_nulls.py; the interval that is
told with one is of drawing alone, and knows nothing of how few seeds the residuals come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palmette.exam.league import rivals
from palmette.exam.rule import Array, entry_of, least_p, verified_in
from palmette.ladder.rate import rate as counted
from palmette.ladder.statistics import share
from palmette.records import ExamPlan, Hypothesis, NullExams, PowerPoint, Sat, Span

EFFECTS = (0.01, 0.02, 0.03, 0.05, 0.08)
"""Differences of the endpoint, in shares of chance, for which the power is told."""


@dataclass(frozen=True)
class Residuals:
    """Draws of seeds for many exams: noise around zero by label, [e n]."""

    scores: Mapping[str, Array]
    text: Mapping[str, Array]


def resampled(
    plan: ExamPlan, sat: Sequence[Sat], exams: int = 1000, seed: int = 0
) -> NullExams | None:
    """How often exams verify anything where no candidate is better than the strongest baseline.

    `alpha` is what all hypotheses together may be wrong by. None where some hypothesis' candidate
    or baseline has fewer than two seeds on the last rung, or there is no hypothesis of a score.
    """
    last = _last(plan, sat)
    asked = [one for one in plan.hypotheses if one.claim == "score"]
    if not asked or not all(_complete(plan, one, last) for one in asked):
        return None
    firsts: dict[str, Hypothesis] = {}
    for one in asked:
        firsts.setdefault(one.candidate, one)
    drawn = redrawn(plan, last, exams, np.random.default_rng(seed))
    happened = np.zeros(exams, dtype=bool)
    least = np.ones(exams)
    for one in asked:
        scores = _placed(plan, one, last, drawn, 0.0)
        happened |= verified_in(plan, one, scores, None)
        least = np.minimum(least, least_p(plan, one, scores))
    limit = counted(int(happened.sum()), exams)
    assert limit is not None, "no exams"
    return NullExams(
        exams=exams,
        alpha=min(1.0, sum(one.alpha for one in asked)),
        rate=_rate(happened),
        rate_bound=limit,
        p=tuple(float(p) for p in least),
        power=tuple(
            PowerPoint(
                candidate=one.candidate,
                effect=effect,
                rate=_rate(_found(plan, one, last, drawn, effect)),
            )
            for one in firsts.values()
            for effect in EFFECTS
        ),
    )


def power_of(
    plan: ExamPlan,
    sat: Sequence[Sat],
    effect: float,
    exams: int = 1000,
    seed: int = 0,
    hypothesis: Hypothesis | None = None,
) -> Span | None:
    """How often exams verify a candidate that is better than the strongest baseline by `effect`.

    With the noise that this exam has measured, held-out text being as good as the best baseline's.
    The hypothesis is the strictest one of a score unless another is given. None as in `resampled`.
    """
    last = _last(plan, sat)
    asked = [one for one in plan.hypotheses if one.claim == "score"]
    one = hypothesis or min(asked, key=lambda one: one.alpha, default=None)
    if one is None or not _complete(plan, one, last):
        return None
    drawn = redrawn(plan, last, exams, np.random.default_rng(seed))
    return _rate(_found(plan, one, last, drawn, effect))


def _found(
    plan: ExamPlan, one: Hypothesis, last: Mapping[str, Sat], drawn: Residuals, effect: float
) -> NDArray[np.bool_]:
    """In which of the drawn exams a candidate that is better by `effect` is verified."""
    scores = _placed(plan, one, last, drawn, effect)
    return verified_in(plan, one, scores, _text(plan, one, last, drawn))


def _rate(happened: NDArray[np.bool_]) -> Span:
    """How often it happened, with its interval."""
    rate = share(int(happened.sum()), len(happened))
    assert rate is not None, "no exams"
    return Span(value=rate.value, low=rate.low, high=rate.high)


def redrawn(
    plan: ExamPlan, last: Mapping[str, Sat], exams: int, generator: np.random.Generator
) -> Residuals:
    """Residuals of every entry for so many exams of as many seeds as the last look has.

    An entry that was not trained on as long as others of its seeds takes a seed of its own where
    theirs is one that it does not have.
    """
    seeds = plan.looks[-1]
    scores: dict[str, Array] = {}
    text: dict[str, Array] = {}
    groups: dict[int, list[Sat]] = {}
    for label, one in last.items():
        if len(one.seeds) > 1:
            groups.setdefault(entry_of(plan, label).replica, []).append(one)
    for replica in sorted(groups):
        longest = max((one.seeds for one in groups[replica]), key=len)
        columns = generator.integers(len(longest), size=(exams, seeds))
        weights = generator.normal(size=(exams, seeds, len(longest)))
        for one in groups[replica]:
            own, n = columns, len(one.seeds)
            if one.seeds != longest[:n]:
                own = generator.integers(n, size=(exams, seeds))
            elif n < len(longest):
                own = np.where(columns < n, columns, generator.integers(n, size=(exams, seeds)))
            scores[one.label] = _smoothed(np.array(one.scores), own, weights)
            text[one.label] = _smoothed(np.array(one.text_bits), own, weights)
    return Residuals(scores, text)


def _smoothed(values: Array, columns: NDArray[np.int64], weights: Array) -> Array:
    """Residuals of values [n] at the drawn columns [e s], with weights [e s n or more]."""
    n = len(values)
    residuals = (values - values.mean()) * math.sqrt(n / (n - 1))
    width = (4 / (3 * n)) ** 0.2
    extra = weights[..., :n] @ residuals / math.sqrt(n)
    made: Array = (residuals[columns] + width * extra) / math.sqrt(1 + width**2)
    return made


def _placed(
    plan: ExamPlan,
    one: Hypothesis,
    last: Mapping[str, Sat],
    drawn: Residuals,
    effect: float,
) -> dict[str, Array]:
    """Scores: every rival around its measured mean, the candidate `effect` above the highest."""
    means = {label: float(np.mean(last[label].scores)) for label in _rivals(plan, one)}
    placed = {label: mean + drawn.scores[label] for label, mean in means.items()}
    placed[one.candidate] = max(means.values()) + effect + drawn.scores[one.candidate]
    return placed


def _text(
    plan: ExamPlan, one: Hypothesis, last: Mapping[str, Sat], drawn: Residuals
) -> dict[str, Array]:
    """Bits: every rival around its measured mean, the candidate at the lowest."""
    means = {label: float(np.mean(last[label].text_bits)) for label in _rivals(plan, one)}
    placed = {label: mean + drawn.text[label] for label, mean in means.items()}
    placed[one.candidate] = min(means.values()) + drawn.text[one.candidate]
    return placed


def _rivals(plan: ExamPlan, one: Hypothesis) -> tuple[str, ...]:
    found = rivals(entry_of(plan, one.candidate), plan.entries, one.league)
    return tuple(rival.label for rival in found)


def _complete(plan: ExamPlan, one: Hypothesis, last: Mapping[str, Sat]) -> bool:
    others = _rivals(plan, one)
    labels = (one.candidate, *others)
    return bool(others) and all(label in last and len(last[label].seeds) > 1 for label in labels)


def _last(plan: ExamPlan, sat: Sequence[Sat]) -> dict[str, Sat]:
    return {one.label: one for one in sat if one.rung == plan.rungs[-1].name}
