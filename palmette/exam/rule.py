"""The rule of the looks: what one condition of a hypothesis says after each planned look.

A hypothesis is a number of *conditions*, each the candidate against one rival on one measure: the
endpoint has to be higher (or, for the claim of efficiency, not lower by the margin), held-out text
not worse by its margin. A condition is looked at after `plan.looks` seeds. It is met as soon as its
p is at most alpha times the share of that look, and hopeless as soon as p is above one half. Who is
beaten at an early look stays beaten, so weak rivals are not trained on: only the strong are.

The hypothesis is verified when all conditions are met (the intersection-union test, Berger 1982,
Multiparameter Hypothesis Testing and Acceptance Sampling, theorem 1). Each condition by itself is a
sequential test of size alpha, since the shares of its looks sum to 1 (Bonferroni), and stopping for
hopelessness rejects less; so the whole has at most this size, whatever the dependence.

Everything here takes arrays whose last axis are seeds, so one exam and a thousand go the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from palmette.exam.league import rivals, tuned_rivals
from palmette.ladder.statistics import difference_parts, upper_tail
from palmette.records import Entry, ExamPlan, Hypothesis

Array = NDArray[np.float64]
Measure = Literal["score", "text"]
HOPELESS = 0.5


@dataclass(frozen=True)
class Condition:
    """The candidate against one rival on one measure; what has to be above `shift`.

    On `score` that is the candidate's less the rival's, on `text` the bits that it saves. `alpha`
    is its error over all looks together, `shares` what each of them may spend of it.
    """

    rival: str
    measure: Measure
    paired: bool
    shift: float
    alpha: float
    shares: tuple[float, ...]

    def p(self, candidate: Array, rival: Array) -> Array:
        """One-sided p of values [... n] and [... n]."""
        a, b = (candidate, rival) if self.measure == "score" else (rival, candidate)
        value, error, freedom = difference_parts(a, b, self.paired)
        return upper_tail(value - self.shift, error, freedom)

    def met(self, candidate: Array, rival: Array, looks: Sequence[int]) -> NDArray[np.int64]:
        """The look, from 1, at which the condition is met; 0 where it is not: [... n] -> [...]."""
        found = np.zeros(np.broadcast_shapes(candidate.shape, rival.shape)[:-1], dtype=np.int64)
        going = np.ones(found.shape, dtype=bool)
        for number, seeds in enumerate(looks, start=1):
            p = self.p(candidate[..., :seeds], rival[..., :seeds])
            enough = self.enough(p, number)
            found[going & enough] = number
            going &= ~enough & (p <= HOPELESS)
        return found

    def enough(self, p: Array, look: int) -> NDArray[np.bool_]:
        """Whether p [...] meets the condition at a look, from 1."""
        made: NDArray[np.bool_] = self.adjusted(p, look) <= self.alpha
        return made

    def adjusted(self, p: Array, look: int) -> Array:
        """p [...] of one look as one to be held against the whole of alpha: p / share, at most 1.

        The least of them over the looks is a p-value of the sequential test (Bonferroni).
        """
        share = self.shares[look - 1]
        return np.minimum(1.0, p / share) if share > 0 else np.ones_like(p)


def conditions(plan: ExamPlan, hypothesis: Hypothesis) -> tuple[Condition, ...]:
    """What has to hold for a hypothesis: two conditions a human baseline of its league."""
    entry = entry_of(plan, hypothesis.candidate)
    made: list[Condition] = []
    for rival in rivals(entry, plan.entries, hypothesis.league):
        made.append(_on_score(plan, hypothesis, entry, rival))
        made.append(
            Condition(
                rival=rival.label,
                measure="text",
                paired=paired(plan, entry, rival),
                shift=-plan.text_margin_bits,
                alpha=hypothesis.alpha,
                shares=plan.shares,
            )
        )
    return tuple(made)


def tuned_conditions(plan: ExamPlan, hypothesis: Hypothesis) -> tuple[Condition, ...]:
    """What has to hold beyond that for the difference to be called structural."""
    entry = entry_of(plan, hypothesis.candidate)
    found = tuned_rivals(entry, plan.entries, hypothesis.league)
    return tuple(_on_score(plan, hypothesis, entry, rival) for rival in found)


def verified_in(
    plan: ExamPlan,
    hypothesis: Hypothesis,
    scores: Mapping[str, Array],
    text: Mapping[str, Array] | None,
) -> NDArray[np.bool_]:
    """In which of many exams a hypothesis is verified; `judge` says the same of each by itself.

    `scores` and `text` are by label, [e n] for e exams and all n seeds of the last look. Without
    `text` its conditions count as met. The claim of efficiency is left out: what it asks of state
    and FLOPs is no matter of chance.
    """
    own = scores[hypothesis.candidate]
    held = np.ones(own.shape[0], dtype=bool)
    asked = conditions(plan, hypothesis)
    for one in asked:
        if one.measure == "score":
            held &= one.met(own, scores[one.rival], plan.looks) > 0
        elif text is not None:
            held &= one.met(text[hypothesis.candidate], text[one.rival], plan.looks) > 0
    return held if asked else np.zeros_like(held)


def least_p(plan: ExamPlan, hypothesis: Hypothesis, scores: Mapping[str, Array]) -> Array:
    """The p of a hypothesis in many exams, had all looks been taken: [e n] by label -> [e]."""
    on_score = [one for one in conditions(plan, hypothesis) if one.measure == "score"]
    own = scores[hypothesis.candidate]
    made = np.zeros(own.shape[0])
    for one in on_score:
        by_look = [
            one.adjusted(one.p(own[..., :seeds], scores[one.rival][..., :seeds]), number)
            for number, seeds in enumerate(plan.looks, start=1)
        ]
        made = np.maximum(made, np.min(by_look, axis=0))
    return made if on_score else np.ones_like(made)


def paired(plan: ExamPlan, entry: Entry, other: Entry) -> bool:
    """Whether two entries are compared seed by seed: only where they share weights' seeds and
    data, which the replica decides as well.
    """
    return plan.paired and entry.replica == other.replica


def entry_of(plan: ExamPlan, label: str) -> Entry:
    """The entry of this label."""
    found = next((entry for entry in plan.entries if entry.label == label), None)
    assert found is not None, f"the plan has no entry {label}"
    return found


def _on_score(plan: ExamPlan, hypothesis: Hypothesis, entry: Entry, rival: Entry) -> Condition:
    return Condition(
        rival=rival.label,
        measure="score",
        paired=paired(plan, entry, rival),
        shift=-plan.score_margin if hypothesis.claim == "efficiency" else 0.0,
        alpha=hypothesis.alpha,
        shares=plan.shares,
    )
