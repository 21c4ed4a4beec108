"""What can be concluded of a study of designers, and what cannot, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palmette.records import Span, Study, StudyArm
from palmette.report.numbers import change, decimals, enumerated, signed

ODDS = 5  # per cent of 95 % intervals that miss


@dataclass(frozen=True)
class Conclusion:
    """A headline, and the sentences that it stands on."""

    headline: str
    sentences: tuple[str, ...]


def concluded(study: Study) -> Conclusion:
    """What the intervals of a study say; "more" and "less" only where one excludes zero."""
    against = [(arm, arm.against) for arm in study.arms if arm.against]
    above = [arm for arm, span in against if span.low > 0]
    below = [arm for arm, span in against if span.high < 0]
    headline, first = _compared(study, against, above, below)
    sentences = [first, *_doubts(study, against, bool(above or below)), *_price(study)]
    sentences += [_luck(study), _progress(study), _absent(study)]
    return Conclusion(headline, tuple(sentence for sentence in sentences if sentence))


def _compared(
    study: Study,
    against: Sequence[tuple[StudyArm, Span]],
    above: Sequence[StudyArm],
    below: Sequence[StudyArm],
) -> tuple[str, str]:
    if not any(arm.genomes for arm in study.arms):
        return "Nothing has been measured yet", "No arm has a genome whose first rung has ended."
    if study.reference is None:
        return (
            "There is nothing to hold the arms against",
            "Every arm asks a model, so what a model adds cannot be told; grow an arm that asks "
            "none, such as --proposer evolution, beside them.",
        )
    if not against:
        few = "two seeds" if len(study.seeds) > 1 else "two genomes"
        return (
            "It is too early to tell",
            f"No arm has an interval against {study.reference} yet: that takes {few} of both.",
        )
    if not above and not below:
        digits = decimals(span for _, span in against)
        low, high = min(s.low for _, s in against), max(s.high for _, s in against)
        return (
            f"No arm is told apart from {study.reference}",
            f"No arm's interval excludes a gain per trial equal to that of {study.reference}. That "
            "does not show that they are equal: differences from "
            f"{signed(low, digits)} to {signed(high, digits)} still fit.",
        )
    digits = decimals(span for _, span in against)
    heads, told = [], []
    for arms, word in ((above, "more"), (below, "less")):
        if arms:
            who = arms[0].arm if len(arms) == 1 else f"{len(arms)} arms"
            heads.append(f"{who} gained {word} per trial than {study.reference}")
            values = [f"{arm.arm} ({change(arm.against, digits)})" for arm in arms]
            told.append(
                f"{word.capitalize()} gain per trial than {study.reference}: {enumerated(values)}."
            )
    rest = len(against) - len(above) - len(below)
    if rest:
        told.append(f"{_others(rest)} not told apart from it.")
    return "; ".join(heads), " ".join(told)


def _others(number: int) -> str:
    return "The other arm is" if number == 1 else f"The other {number} arms are"


def _doubts(
    study: Study, against: Sequence[tuple[StudyArm, Span]], told_apart: bool
) -> tuple[str, ...]:
    if not against:
        return ()
    found = []
    if told_apart and len(against) > 1:
        odds = min(ODDS * len(against), 100)
        found.append(
            f"{len(against)} arms were held against {study.reference}, each by a 95 % interval: if "
            f"none differed, luck alone would tell one or more apart in up to {odds} % of studies."
        )
    if len(study.seeds) == 1:
        found.append(
            "This is a single seed: genomes that share a parent share its noise, so the intervals "
            "are too narrow, and another seed may say otherwise (--llm-study-seeds 3)."
        )
    return tuple(found)


def _price(study: Study) -> tuple[str, ...]:
    """Whether tokens, or money, bought anything."""
    paid = [(arm, arm.per_1000_tokens) for arm in study.arms if arm.per_1000_tokens]
    if not paid:
        return ()
    sure = [arm.arm for arm, span in paid if span.low > 0]
    unpriced = all(arm.per_usd is None for arm, _ in paid)
    known = " What money bought cannot be told, for no price is known." if unpriced else ""
    if sure:
        return (f"Tokens bought a gain for {enumerated(sure)}.{known}",)
    return (f"For no arm is it sure that tokens bought any gain.{known}",)


def _luck(study: Study) -> str:
    band = study.noise_best
    if not study.compared:
        return ""
    if band is None:
        return "Whether any arm beat luck cannot be told: no placebo has a score."
    genomes = f"{study.compared} {'genome' if study.compared == 1 else 'genomes'}"
    beyond = [arm.arm for arm in study.arms if arm.best is not None and arm.best > band.high]
    if beyond:
        return (
            f"The best of the first {genomes} of {enumerated(beyond)} lies above what the best of "
            "as many draws of noise would reach."
        )
    return (
        f"No arm's best of {genomes} lies above what the best of as many draws of noise would "
        "reach: luck alone could explain every one of them."
    )


def _progress(study: Study) -> str:
    if not study.compared or study.compared >= study.wanted:
        return ""
    return f"The study is not complete: all arms have {study.compared} of {study.wanted} genomes."


def _absent(study: Study) -> str:
    absent = [arm.arm for arm in study.arms if not arm.genomes]
    if not absent or len(absent) == len(study.arms):
        return ""
    verb = "has" if len(absent) == 1 else "have"
    return f"{enumerated(absent)} {verb} no trained genome, and no part in any comparison."
