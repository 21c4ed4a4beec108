"""What an exam says, from what was measured: a pure function of the plan and the values.

Looks are taken in their order, each on the first seeds that it was planned with, so what was said
at an earlier look stands whatever comes later. Who has failed is never beaten, and never verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from palmette.exam.carry import carry, strongest
from palmette.exam.course import Course, run, told
from palmette.exam.league import efficient, enters, is_null
from palmette.exam.rule import Condition, conditions, entry_of, tuned_conditions
from palmette.exam.sentence import sentence
from palmette.ladder.statistics import intersection_union
from palmette.records import Contrast, ExamPlan, Hypothesis, League, Sat, Verdict

Kind = Literal["structural", "tuning", "untold"]


@dataclass(frozen=True)
class Judged:
    """Verdicts, and who has to be trained on for the rest of them.

    `wanted` is the number of seeds that an entry needs on the last rung for the next look, by
    label, of those that have fewer. A verdict that is still open has no `look`; one that is
    verified has no `kind` as long as tuned baselines are open.
    """

    verdicts: tuple[Verdict, ...]
    placebos: tuple[Verdict, ...]
    wanted: Mapping[str, int]

    @property
    def open(self) -> tuple[str, ...]:
        """Labels of the entries that still need seeds."""
        return tuple(self.wanted)

    @property
    def more(self) -> bool:
        """Whether anything is left to be trained on the last rung."""
        return bool(self.wanted)


def judge(plan: ExamPlan, sat: Sequence[Sat]) -> Judged:
    """Everything that may be said of an exam so far.

    Args:
        plan: fixed before the first trial.
        sat: at most one an entry and rung; an entry without one has not been trained there yet.
    """
    _check(plan)
    wanted: dict[str, int] = {}
    verdicts = tuple(_verdict(plan, one, sat, wanted) for one in plan.hypotheses)
    placebos = tuple(_verdict(plan, one, sat, wanted) for one in placebo_hypotheses(plan))
    return Judged(verdicts, placebos, wanted)


def placebo_hypotheses(plan: ExamPlan) -> tuple[Hypothesis, ...]:
    """What the exam asks of placebos, as if they were candidates; none has a number.

    They get the largest error that a candidate of this exam has, and compete where candidates do.
    Only a design that sits as a baseline too is a placebo in a league: another might be better.
    """
    asked = [one.league for one in plan.hypotheses if one.claim == "score"]
    leagues: list[League] = list(dict.fromkeys(asked)) or ["open"]
    alpha = max((one.alpha for one in plan.hypotheses), default=plan.q)
    return tuple(
        Hypothesis(number=0, candidate=entry.label, league=league, claim="score", alpha=alpha)
        for entry in plan.entries
        for league in leagues
        if entry.role == "placebo"
        and enters(entry, plan.entries, league)
        and is_null(entry, plan.entries, league)
    )


def _verdict(
    plan: ExamPlan, hypothesis: Hypothesis, sat: Sequence[Sat], wanted: dict[str, int]
) -> Verdict:
    """One verdict; what it still needs goes into `wanted`."""
    last = {one.label: one for one in sat if one.rung == plan.rungs[-1].name}
    label = hypothesis.candidate
    asked = conditions(plan, hypothesis)
    course = run(plan, label, asked, last) if asked else Course(look=1)
    contrasts = _contrasts(plan, label, asked, course, last)
    verified = course.held and _qualifies(plan, hypothesis, contrasts)
    tuned = tuned_conditions(plan, hypothesis) if verified else ()
    further = [run(plan, label, [one], last) for one in tuned]
    kind = _kind(further) if verified else None
    _want(wanted, [course, *(further if verified and kind is None else [])])
    points, carries = carry(plan, hypothesis, sat, contrasts)
    made = Verdict(
        hypothesis=hypothesis,
        verified=verified,
        kind=kind,
        p=_p(asked, course),
        look=course.look,
        seeds=max((one.seeds for one in contrasts), default=0),
        contrasts=(
            *contrasts,
            *(told(plan, label, one, own, last) for one, own in zip(tuned, further, strict=True)),
        ),
        text=_text(plan, label, course, last),
        text_holds=_text_holds(asked, course),
        carry=points,
        carries=carries if course.look is not None else "not told",
        sentence="",
    )
    return made.model_copy(update={"sentence": sentence(plan, made, last, course.failed)})


def _contrasts(
    plan: ExamPlan,
    label: str,
    asked: Sequence[Condition],
    course: Course,
    last: Mapping[str, Sat],
) -> tuple[Contrast, ...]:
    on_score = [one for one in asked if one.measure == "score"]
    return tuple(told(plan, label, one, course, last) for one in on_score)


def _qualifies(plan: ExamPlan, hypothesis: Hypothesis, contrasts: Sequence[Contrast]) -> bool:
    """For the claim of efficiency: whether state or FLOPs are small beside the best rival's, and
    beside that of every other that may be the best one.
    """
    if hypothesis.claim == "score":
        return True
    entry, strong = entry_of(plan, hypothesis.candidate), strongest(contrasts)
    return bool(strong) and all(
        efficient(entry, entry_of(plan, one.against), plan.efficiency) for one in strong
    )


def _kind(further: Sequence[Course]) -> Kind | None:
    """What a verified difference comes from; None as long as that is open.

    One tuned baseline that is not beaten decides. One that has failed leaves it untold.
    """
    if any(one.look is not None and not one.held and not one.failed for one in further):
        return "tuning"
    if any(one.look is None for one in further):
        return None
    if not further or any(one.failed for one in further):
        return "untold"
    return "structural"


def _want(wanted: dict[str, int], courses: Sequence[Course]) -> None:
    for course in courses:
        for label, seeds in course.wanted.items():
            wanted[label] = max(seeds, wanted.get(label, 0))


def _p(asked: Sequence[Condition], course: Course) -> float | None:
    """The largest over the rivals, to be held against alpha: each is adjusted for its looks.

    None as long as it is open, or where a rival was never looked at.
    """
    on_score = [one for one in asked if one.measure == "score"]
    if course.look is None or not on_score or any(one not in course.seen for one in on_score):
        return None
    return intersection_union([course.least[one] for one in on_score])


def _text(plan: ExamPlan, label: str, course: Course, last: Mapping[str, Sat]) -> Contrast | None:
    """Held-out text against the rival for which it is the most doubtful."""
    seen = [one for one in course.seen if one.measure == "text"]
    if not seen:
        return None
    worst = max(seen, key=lambda one: (one not in course.met, course.seen[one][1]))
    return told(plan, label, worst, course, last)


def _text_holds(asked: Sequence[Condition], course: Course) -> bool | None:
    """Whether text is shown to be no worse than any rival's; None where nobody has looked."""
    on_text = [one for one in asked if one.measure == "text"]
    if not any(one in course.seen for one in on_text):
        return None
    return all(one in course.met for one in on_text)


def _check(plan: ExamPlan) -> None:
    """A plan that cannot be judged is a mistake of ours."""
    assert len(plan.looks) == len(plan.shares), "every look has its share of alpha"
    assert plan.looks[0] >= 2, "nothing can be said after one seed"
    assert list(plan.looks) == sorted(set(plan.looks)), "looks rise"
    assert sum(plan.shares) <= 1 + 1e-9, "shares are what each look may spend, 1 together"
    for one in plan.hypotheses:
        entry = entry_of(plan, one.candidate)
        assert enters(entry, plan.entries, one.league), f"{one.candidate} is not in {one.league}"
