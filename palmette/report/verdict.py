"""The words with which a report opens: what was found, and how far it can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palmette.ladder.statistics import Estimate
from palmette.report.data import Difference, ReportData

WIDTH = 200  # of a whisker, in pixels
EDGE = 10

VERDICTS = {
    "above": "above the noise",
    "inside": "inside the noise",
    "below": "worse, beyond the noise",
}


@dataclass(frozen=True)
class Bar:
    """A comparison ready to be drawn: `zero`, `low`, `middle`, `high` are pixels on a whisker."""

    title: str
    estimate: Estimate
    standing: str
    verdict: str
    zero: float
    low: float
    middle: float
    high: float


def standing(difference: Difference) -> str:
    """`above`, `inside` or `below`: where the interval lies with respect to zero.

    >>> from palmette.ladder.statistics import Estimate
    >>> standing(Difference("gpt2", "baseline", Estimate(0.1, -0.1, 0.3), paired=False))
    'inside'
    """
    if not difference.excludes_zero:
        return "inside"
    return "above" if difference.estimate.low > 0 else "below"


def bars(data: ReportData) -> tuple[Bar, ...]:
    """The top candidate against the root and against the best human baseline, on one scale."""
    shown = _shown(data)
    if not shown:
        return ()
    ends = [0.0] + [end for d in shown for end in (d.estimate.low, d.estimate.high)]
    low, span = min(ends), max(ends) - min(ends) or 1.0

    def pixel(value: float) -> float:
        return round(EDGE + (WIDTH - 2 * EDGE) * (value - low) / span, 1)

    return tuple(
        Bar(
            title=_title(held),
            estimate=held.estimate,
            standing=standing(held),
            verdict=VERDICTS[standing(held)],
            zero=pixel(0),
            low=pixel(held.estimate.low),
            middle=pixel(held.estimate.value),
            high=pixel(held.estimate.high),
        )
        for held in shown
    )


def summary(data: ReportData) -> str:
    """One plain sentence on the top candidate, or on why there is none."""
    if not data.status.trials.get("done"):
        return "No trial has finished yet, so there is nothing to rank."
    if data.top is None:
        return (
            "No found genome has an estimate yet: what finished so far are the root, the "
            "baselines or genomes that failed."
        )
    shown = _shown(data)
    if not shown:
        return "With nothing to compare it with, its score says little."
    where = {standing(held) for held in shown}
    if where == {"above"}:
        return (
            "Both intervals exclude zero. That is reason enough to verify it, and no more: it was "
            "chosen among many, and both estimates come from the tasks it was chosen on."
            if len(shown) > 1
            else "The interval excludes zero. That is reason enough to verify it, and no more: it "
            "was chosen among many on these very tasks."
        )
    if "above" not in where:
        return (
            "Against neither is it shown to be better: this search has found nothing that seed "
            "noise and selection would not explain."
            if len(shown) > 1
            else "It is not shown to be better: seed noise and selection would explain it."
        )
    better = [_title(held) for held in shown if standing(held) == "above"]
    rest = [_title(held) for held in shown if standing(held) != "above"]
    return f"Better than {', '.join(better)}, but not shown to be better than {', '.join(rest)}."


def _shown(data: ReportData) -> list[Difference]:
    """The root's difference, and the best human baseline's."""
    best = data.best_baseline
    name = (best.name or best.genome[:8]) if best else None
    found: Sequence[Difference] = data.differences
    return [d for d in found if d.role == "root"][:1] + [
        d for d in found if d.role == "baseline" and d.name == name
    ][:1]


def _title(held: Difference) -> str:
    what = "the root" if held.role == "root" else "the best human baseline"
    return f"{what}, {held.name}"
