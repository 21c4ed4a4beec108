"""What an exam's page and the screen say of its record, in words and rows."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from palmette.ladder.statistics import Estimate, mean_interval
from palmette.records import Contrast, Entry, Exam, Hypothesis, Rate, Sat, Verdict
from palmette.report.numbers import change, enumerated

Kind = Literal["candidate", "default", "stretched", "tuned", "placebo"]
KINDS: tuple[Kind, ...] = ("candidate", "default", "stretched", "tuned", "placebo")
KEY_TEXT = b"palmette sealed tasks"


@dataclass(frozen=True)
class Seat:
    """An entry with what it measured on the last rung; None where nothing has ended there."""

    entry: Entry
    kind: Kind
    sat: Sat | None
    score: float | None
    interval: Estimate | None
    text_bits: float | None


def kind_of(entry: Entry) -> Kind:
    """What an entry is; a stretched one is a baseline trained for longer."""
    if entry.role == "baseline":
        return "stretched" if entry.stretch > 1 else "default"
    return entry.role


def seats(exam: Exam) -> tuple[Seat, ...]:
    """Who sat, by kind and then by score."""
    last = exam.plan.rungs[-1].name
    sat = {one.label: one for one in exam.sat if one.rung == last}
    found = [_seat(entry, sat.get(entry.label)) for entry in exam.plan.entries]
    return tuple(
        sorted(found, key=lambda one: (KINDS.index(one.kind), -(one.score or 0.0), one.entry.label))
    )


def _seat(entry: Entry, sat: Sat | None) -> Seat:
    known = sat is not None and bool(sat.scores)
    return Seat(
        entry=entry,
        kind=kind_of(entry),
        sat=sat,
        score=fmean(sat.scores) if sat and known else None,
        interval=mean_interval(sat.scores) if sat and known else None,
        text_bits=fmean(sat.text_bits) if sat and sat.text_bits else None,
    )


def verified(exam: Exam) -> tuple[Verdict, ...]:
    """The verdicts that are a yes."""
    return tuple(one for one in exam.verdicts if one.verified)


def headline(exam: Exam) -> str:
    """What came of the exam, in a few words."""
    if exam.state == "running":
        return "The exam is not over"
    if not canary_holds(exam):
        return "The canary failed"
    found = list(dict.fromkeys(one.hypothesis.candidate for one in verified(exam)))
    if not found:
        return "Nothing was verified"
    return f"Verified: {enumerated(found)}"


def lead(exam: Exam) -> str:
    """The sentence below the headline: what was verified, or what came nearest."""
    if exam.state == "running":
        return (
            "No verdict has been reached. The same command goes on with it; nothing that has "
            "finished is lost."
        )
    if not canary_holds(exam):
        return (
            "Models that were loaded and evaluated again did not give the trainer's figures, so "
            "no verdict of this exam can be relied on."
        )
    if found := verified(exam):
        names = dict.fromkeys(one.hypothesis.candidate for one in found)
        return " ".join(_found(name, found) for name in names)
    if nearest := came_nearest(exam):
        asked, worst = nearest.hypothesis, shortfall(nearest)
        beside = f"; beside {worst.against} it has {change(worst.difference, 3)}" if worst else ""
        return (
            f"What came nearest: {asked.candidate} in the {asked.league} league, for its "
            f"{asked.claim}, with p {nearest.p:.2g} where alpha is {asked.alpha:.2g}{beside}."
        )
    return "There was nothing to judge."


def _found(candidate: str, verdicts: Sequence[Verdict]) -> str:
    """What was verified of one candidate, in a sentence."""
    own = [one for one in verdicts if one.hypothesis.candidate == candidate]
    better = [one for one in own if one.hypothesis.claim == "score"]
    lean = [one for one in own if one.hypothesis.claim == "efficiency"]
    parts = []
    if better:
        structural = all(one.kind == "structural" for one in better)
        tuned = ", tuned ones too," if structural else ""
        parts.append(
            f"beats every human baseline of the {_leagues(better)}{tuned} on tasks that no search "
            "has seen"
        )
    if lean:
        parts.append(
            f"is no worse than any of the {_leagues(lean)} with far less state or fewer FLOPs"
        )
    return f"{candidate} {enumerated(parts)}."


def _leagues(verdicts: Sequence[Verdict]) -> str:
    names = list(dict.fromkeys(one.hypothesis.league for one in verdicts))
    return f"{enumerated(names)} {'league' if len(names) == 1 else 'leagues'}"


def came_nearest(exam: Exam) -> Verdict | None:
    """The verdict whose p is the smallest multiple of its alpha; None if none has a p.

    Of those that are hopeless, all with a p of 1, the one that lacks least.
    """

    def distance(one: Verdict) -> tuple[float, float]:
        p, worst = one.p or 0.0, shortfall(one)
        lacking = -worst.difference.value if worst and worst.difference else math.inf
        return (p / one.hypothesis.alpha if p < 1 else math.inf, lacking)

    return min((one for one in exam.verdicts if one.p is not None), key=distance, default=None)


def shortfall(verdict: Verdict) -> Contrast | None:
    """The contrast in which a candidate has least; None if none has a difference."""
    known = [one for one in verdict.contrasts if one.difference]
    return min(known, key=lambda one: one.difference.value if one.difference else 0.0, default=None)


def canary_holds(exam: Exam) -> bool:
    """Whether every saved model that was evaluated again is what its trainer said."""
    return all(row.passed for row in exam.canary)


def canary_sentence(exam: Exam) -> str:
    """What came of the canary, of all models together."""
    failed = [row for row in exam.canary if not row.passed]
    count = len(exam.canary)
    if not count:
        return "No saved model has been evaluated again yet."
    if not failed:
        models = "The saved model" if count == 1 else f"All {count:,} saved models"
        return (
            f"{models}, loaded and evaluated again by another process, gave the trainer's figures "
            "to the last bit; untrained copies gave others."
        )
    first = failed[0]
    return (
        f"{len(failed):,} of {count:,} saved models failed; the first is {first.label}, seed "
        f"{first.seed}: {first.reason}."
    )


def placebo_sentence(rate: Rate | None) -> str:
    """How many placebos were verified, and the rate that this leaves open.

    >>> placebo_sentence(Rate(happened=0, cases=7, bound=0.348))
    '0 of 7 placebos were verified; the true rate may be up to 34.8 % (95 %, one-sided).'
    """
    if rate is None or not rate.cases:
        return "No placebo has been judged yet."
    was = "was" if rate.cases == 1 else "were"
    many = "placebo" if rate.cases == 1 else "placebos"
    return (
        f"{rate.happened} of {rate.cases} {many} {was} verified; the true rate may be up to "
        f"{100 * rate.bound:.1f} % (95 %, one-sided)."
    )


def looked_like(rate: Rate | None) -> str:
    """How many placebos of a search seemed to be finds, and the rate that this leaves open.

    >>> looked_like(Rate(happened=0, cases=3, bound=0.632))
    '0 of 3 placebos on the last rung look better than the root; in truth up to 63 % may.'
    """
    if rate is None:
        return "No placebo has come to the last rung, so how often nothing looks good is not known."
    many, look = ("placebo", "looks") if rate.cases == 1 else ("placebos", "look")
    return (
        f"{rate.happened} of {rate.cases} {many} on the last rung {look} better than the root; in "
        f"truth up to {100 * rate.bound:.0f} % may."
    )


@dataclass(frozen=True)
class Opened:
    """Whether a draw's secret is the one that was committed to, and whether the suite is its."""

    commitment: bool
    suite: bool


def checked(exam: Exam) -> Opened | None:
    """The commitment checked again from the secret; None while it is closed."""
    if exam.draw.secret is None:
        return None
    secret = bytes.fromhex(exam.draw.secret)
    key = hmac.new(secret, KEY_TEXT, "sha256").digest()[:8].hex()
    return Opened(
        commitment=hashlib.sha256(secret).hexdigest() == exam.draw.commitment,
        suite=exam.plan.suite == f"exam/{key}",
    )


def parted(sentence: str) -> tuple[str, str]:
    """A verdict's first sentence, and the figures that follow it.

    >>> parted("Not verified: it is 0.1 lower. With 42,000 parameters it has 0.3.")
    ('Not verified: it is 0.1 lower.', 'With 42,000 parameters it has 0.3.')
    """
    first, dot, rest = sentence.partition(". ")
    return first + dot.strip(), rest


def claimed(asked: Hypothesis) -> str:
    """Whom a hypothesis is about, in which league, and for what if not for its score."""
    claim = "" if asked.claim == "score" else f", {asked.claim}"
    return f"{asked.candidate}, {asked.league}{claim}"


def standing(verdict: Verdict) -> str:
    """A verdict in a word or two."""
    if verdict.look is None:
        return "open"
    if not verdict.verified:
        return "not verified"
    return f"verified · {verdict.kind}" if verdict.kind not in (None, "untold") else "verified"


def looked(verdict: Verdict, looks: Sequence[int]) -> str:
    """After how many seeds a verdict was reached."""
    if verdict.look is None:
        return f"{verdict.seeds} seeds so far"
    return f"look {verdict.look} of {len(looks)}, {verdict.seeds} seeds"
