"""How conditions go, look by look, as far as there are seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from palmette.exam.rule import HOPELESS, Array, Condition
from palmette.ladder.statistics import contrast
from palmette.records import Contrast, ExamPlan, Sat, Span


@dataclass
class Course:
    """What became of conditions that have to hold together.

    seen      the look at which a condition was last looked at, from 1, and its p then
    least     its p over all those looks together
    met       those that are met; the others of `seen` are not, or not yet
    failed    labels of entries that can no longer have the seeds of the look that was due
    look      at which all was decided; None as long as it is open
    wanted    seeds that entries need for the next look, by label, of those that have fewer
    """

    seen: dict[Condition, tuple[int, float]] = field(default_factory=dict)
    least: dict[Condition, float] = field(default_factory=dict)
    met: set[Condition] = field(default_factory=set)
    failed: tuple[str, ...] = ()
    look: int | None = None
    wanted: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Whether every condition was looked at and met."""
        return self.look is not None and not self.failed and len(self.met) == len(self.seen) > 0


def run(plan: ExamPlan, label: str, asked: Sequence[Condition], last: Mapping[str, Sat]) -> Course:
    """The course of a candidate's conditions, by what entries have measured on the last rung.

    All that are not met yet are looked at together, once everybody concerned has the seeds of the
    look. It ends when all are met, at the last look, or when one is hopeless or an entry failed.
    """
    course = Course()
    for number, seeds in enumerate(plan.looks, start=1):
        left = [one for one in asked if one not in course.met]
        concerned = dict.fromkeys((label, *(one.rival for one in left)))
        lacking = [one for one in concerned if one not in last or len(last[one].seeds) < seeds]
        course.failed = tuple(one for one in lacking if one in last and last[one].failed)
        if lacking and not course.failed:
            course.wanted = dict.fromkeys(lacking, seeds)
            return course
        if course.failed:
            course.look = number
            return course
        for one in left:
            p = one.p(*values(one, label, last, seeds))
            course.seen[one] = (number, float(p))
            course.least[one] = min(float(one.adjusted(p, number)), course.least.get(one, 1.0))
            if one.enough(p, number):
                course.met.add(one)
        hopeless = any(course.seen[one][1] > HOPELESS for one in left)
        if hopeless or len(course.met) == len(asked):
            course.look = number
            return course
    course.look = len(plan.looks)
    return course


def values(one: Condition, label: str, last: Mapping[str, Sat], seeds: int) -> tuple[Array, Array]:
    """What a condition compares: the first seeds of the candidate [n] and of its rival [n]."""
    own, other = last[label], last[one.rival]
    same = own.seeds[:seeds] == other.seeds[:seeds]
    assert same or not one.paired, f"{label} and {one.rival} are paired and have other seeds"
    if one.measure == "score":
        return np.array(own.scores[:seeds]), np.array(other.scores[:seeds])
    return np.array(own.text_bits[:seeds]), np.array(other.text_bits[:seeds])


def told(
    plan: ExamPlan, label: str, one: Condition, course: Course, last: Mapping[str, Sat]
) -> Contrast:
    """A condition as a record: the candidate's less the rival's, at the look that was last taken.

    On text that is positive where the candidate is worse.
    """
    if one not in course.seen:
        return Contrast(
            candidate=label,
            against=one.rival,
            difference=None,
            p=None,
            paired=one.paired,
            correlation=None,
            seeds=0,
        )
    look, p = course.seen[one]
    seeds = plan.looks[look - 1]
    own, other = values(one, label, last, seeds)
    found = contrast(own.tolist(), other.tolist(), one.paired)
    assert found is not None, "the first look has two seeds or more"
    return Contrast(
        candidate=label,
        against=one.rival,
        difference=Span(value=found.value, low=found.low, high=found.high),
        p=p,
        paired=one.paired,
        correlation=found.correlation,
        seeds=seeds,
    )
