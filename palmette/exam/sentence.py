"""A verdict in plain words: never without size, tokens, endpoint, difference, interval, alpha."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from palmette.exam.carry import best_rival, strongest
from palmette.exam.league import efficient, rivals
from palmette.exam.rule import HOPELESS, entry_of
from palmette.ladder.scales import HUMAN_BASELINES
from palmette.ladder.statistics import mean_interval
from palmette.records import Contrast, Entry, ExamPlan, League, Sat, Span, Verdict

UNKNOWN = "not known"


def sentence(
    plan: ExamPlan, verdict: Verdict, last: Mapping[str, Sat], failed: Sequence[str] = ()
) -> str:
    """The verdict, its figures, held-out text and carry.

    Args:
        plan: of the exam.
        verdict: its own `sentence` is not read.
        last: what was measured on the last rung, by label.
        failed: labels of entries for want of which it was decided.
    """
    asked = verdict.hypothesis
    entry = entry_of(plan, asked.candidate)
    own = _against_humans(plan, verdict)
    best = best_rival(own)
    return " ".join(
        part
        for part in (
            _opening(plan, verdict, entry, best, failed),
            _figures(plan, verdict, entry, last.get(entry.label)),
            _difference(plan, verdict, own, best),
            _text(plan, verdict),
            _kind(verdict),
            _carry(verdict),
        )
        if part
    )


def number(value: float, half: float) -> str:
    """A value with two digits of the half-width of its interval.

    >>> number(-0.12345, 0.012), number(0.5, 0)
    ('−0.123', '0.5000')
    """
    digits = 4 if half <= 0 else min(6, max(0, 1 - math.floor(math.log10(half))))
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def spanned(span: Span | None, signs: bool = False) -> str:
    """A value with its interval.

    >>> spanned(Span(value=0.5, low=0.4, high=0.6)), spanned(None)
    ('0.50 [0.40, 0.60]', 'not known')
    >>> spanned(Span(value=0.5, low=-0.4, high=1.4), signs=True)
    '+0.50 [−0.40, +1.40]'
    """
    if span is None:
        return UNKNOWN
    half = (span.high - span.low) / 2
    made = [number(one, half) for one in (span.value, span.low, span.high)]
    if signs:
        made = [text if text.startswith("−") or not float(text) else f"+{text}" for text in made]
    return f"{made[0]} [{made[1]}, {made[2]}]"


def probability(p: float | None) -> str:
    """A p-value in two digits.

    >>> probability(0.0123), probability(1e-9), probability(None)
    ('0.012', '1e-09', 'not known')
    """
    return UNKNOWN if p is None else f"{p:.2g}"


def _against_humans(plan: ExamPlan, verdict: Verdict) -> list[Contrast]:
    return [one for one in verdict.contrasts if entry_of(plan, one.against).role == "baseline"]


def _opening(
    plan: ExamPlan,
    verdict: Verdict,
    entry: Entry,
    best: Contrast | None,
    failed: Sequence[str],
) -> str:
    asked = verdict.hypothesis
    where = f"in the {asked.league} league at scale {plan.scale} on draw {plan.draw}"
    share = f"{100 * plan.efficiency:g} %"
    claim = (
        f"scores better than {_all(plan, entry, asked.league)}"
        if asked.claim == "score"
        else f"scores as well as {_all(plan, entry, asked.league)}, to within "
        f"{plan.score_margin:g}, with at "
        f"most {share} of the strongest one's state or FLOPs"
    )
    if verdict.verified:
        return f"Verified {where}: {entry.label} {claim}."
    if verdict.look is None:
        return f"Open {where}, whether {entry.label} {claim}."
    return (
        f"Not verified {where}, that {entry.label} {claim}: {_reason(plan, verdict, best, failed)}."
    )


def _all(plan: ExamPlan, entry: Entry, league: League) -> str:
    """Whom it is held against; by name where some human baselines were left out."""
    sitting = {e.baseline for e in plan.entries if e.role == "baseline"}
    if sitting == set(HUMAN_BASELINES):
        return "every human baseline"
    names = dict.fromkeys(e.baseline or e.label for e in rivals(entry, plan.entries, league))
    return f"every human baseline that sat ({', '.join(names)})"


def _reason(plan: ExamPlan, verdict: Verdict, best: Contrast | None, failed: Sequence[str]) -> str:
    """Why not."""
    label = verdict.hypothesis.candidate
    if label in failed:
        return "it could not be trained on every seed"
    if failed:
        return f"{' and '.join(failed)} could not be trained on every seed, so it is not beaten"
    if best is None:
        return "no human baseline sat in this league"
    entry = entry_of(plan, label)
    costlier = [
        one.against
        for one in strongest(_against_humans(plan, verdict))
        if not efficient(entry, entry_of(plan, one.against), plan.efficiency)
    ]
    if verdict.hypothesis.claim == "efficiency" and costlier:
        return f"it needs more beside {' and '.join(costlier)}, which may be the strongest"
    alpha = verdict.hypothesis.alpha
    short = [
        one.against
        for one in _against_humans(plan, verdict)
        if one.p is None or one.p > alpha * plan.shares[plan.looks.index(one.seeds)]
    ]
    if short:
        many = f"{len(short)} of {len(_against_humans(plan, verdict))} baselines"
        whom = short[0] if len(short) == 1 else many
        hopeless = any(one.p is not None and one.p > HOPELESS for one in verdict.contrasts)
        where = f"after {verdict.seeds} seeds" + (
            ", and further ones are hopeless" if hopeless else ""
        )
        return f"that is not shown against {whom} {where}"
    return "held-out text is not shown to be no worse"


def _figures(plan: ExamPlan, verdict: Verdict, entry: Entry, sat: Sat | None) -> str:
    own = mean_interval(sat.scores[: verdict.seeds]) if sat else None
    span = Span(value=own.value, low=own.low, high=own.high) if own else None
    over = f" over {verdict.seeds} seeds" if own else ""
    return (
        f"With {entry.parameters:,} parameters and {plan.rungs[-1].tokens:,} tokens its endpoint, "
        f"the mean score over sealed tasks, is {spanned(span)}{over};"
    )


def _difference(
    plan: ExamPlan, verdict: Verdict, own: Sequence[Contrast], best: Contrast | None
) -> str:
    alpha = verdict.hypothesis.alpha
    told = (
        f"less that of the strongest of {len(own)} baselines, {best.against}, "
        f"{spanned(best.difference, signs=True)}"
        if best
        else f"the difference from a baseline is {UNKNOWN}"
    )
    look = (
        f" at look {verdict.look} of {len(plan.looks)}"
        if verdict.look is not None and len(plan.looks) > 1
        else ""
    )
    return f"{told}; p = {probability(verdict.p)} with alpha = {probability(alpha)}{look}."


def _text(plan: ExamPlan, verdict: Verdict) -> str:
    if verdict.text is None or verdict.text.difference is None:
        return f"How held-out text changes is {UNKNOWN}."
    shown = "within" if verdict.text_holds else "not shown to be within"
    return (
        f"On held-out text it takes {spanned(verdict.text.difference, signs=True)} bits per byte "
        f"beside {verdict.text.against}, {shown} the margin of {plan.text_margin_bits:g}."
    )


def _kind(verdict: Verdict) -> str:
    if not verdict.verified:
        return ""
    return {
        "structural": "Baselines tuned on the search's own tasks are beaten too: structural.",
        "tuning": "Not every tuned baseline is beaten, so it may be a matter of tuning.",
        "untold": "Whether tuned baselines are beaten too is not told.",
        None: "Tuned baselines are still to be compared.",
    }[verdict.kind]


def _carry(verdict: Verdict) -> str:
    known = [one for one in verdict.carry if one.advantage]
    if len(known) < 2:
        return "Whether the advantage carries over the rungs is not told."
    course = ", ".join(spanned(one.advantage, signs=True) for one in known)
    return {
        "carries": f"The advantage carries over the rungs: {course}.",
        "does not carry": f"The advantage does not carry over the rungs: {course}.",
        "not told": f"Whether the advantage carries is not told: {course} by rung.",
    }[verdict.carries]
