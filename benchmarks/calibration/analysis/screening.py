"""Which proposals could be refused before they are trained?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

import palmette
from benchmarks.calibration.analysis.predictors import early_loss
from benchmarks.calibration.stages import RATES
from palmette.ladder.calibration import Calibration, Course, Stage
from palmette.ladder.scales import HUMAN_BASELINES
from palmette.ladder.statistics import Estimate, share

TITLE = "Screening"
NOTE = (
    "What a rule would have refused at the first rung of text: how many genomes, how much of all "
    "work, how many of the best quarter and of the worse half (by two-seed means). Worst means "
    "lowest, but for the loss. A multiple is of the costliest human baseline's; seconds are known "
    "only once a trial has begun."
)


@dataclass(frozen=True)
class Row:
    """One rule."""

    rule: str
    genomes: int
    refused: Estimate | None
    of_the_work: float
    of_the_best_quarter: Estimate | None
    of_the_worse_half: Estimate | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every rule."""
    stage = calibration.stage("text", "1")
    if stage is None:
        return []
    means = stage.means(stage.saved())
    order = sorted(means, key=lambda genome: -means[genome])
    best, worse = set(order[: len(order) // 4]), set(order[len(order) // 2 :])
    work = {g: sum(o.cpu_seconds for o in stage.courses[g].outcomes) for g in order}
    made = []
    for rule, all_refused in _rules(calibration, stage):
        refused = all_refused & means.keys()
        made.append(
            Row(
                rule=rule,
                genomes=len(order),
                refused=share(len(refused), len(order)),
                of_the_work=sum(work[g] for g in refused) / max(1e-9, sum(work.values())),
                of_the_best_quarter=share(len(refused & best), len(best)),
                of_the_worse_half=share(len(refused & worse), len(worse)),
            )
        )
    return made


def _rules(calibration: Calibration, stage: Stage) -> Iterator[tuple[str, set[str]]]:
    texts = calibration.expressions
    yield "no token mixer", {genome for genome in stage.courses if not _mixes(texts[genome])}
    baselines = {f"atlas:{name}" for name in HUMAN_BASELINES}
    human = [g for g in stage.courses if calibration.origins[g] in baselines]
    flops = {g: c.flops_forward for g, c in stage.courses.items() if c.flops_forward is not None}
    seconds = {
        genome: float(np.median([outcome.cpu_seconds for outcome in course.outcomes]))
        for genome, course in stage.courses.items()
        if course.outcomes
    }
    for told, figures, multiples in (
        ("forward FLOPs", flops, (1.5, 2.0, 3.0)),
        ("seconds", seconds, (1.5, 2.0, 3.0, 5.0)),
    ):
        most = max((figures[genome] for genome in human if genome in figures), default=None)
        if most is not None:
            for multiple in multiples:
                over = {genome for genome, own in figures.items() if own > multiple * most}
                yield f"{told} above {multiple:g} times", over
    known = {
        name.replace("_", " "): {g: own[name] for g, own in calibration.proxies.items() if own}
        for name in ("gradient_norm", "snip")
    }
    losses = {genome: early_loss(course) for genome, course in stage.courses.items()}
    known["loss near step 100"] = {g: own for g, own in losses.items() if own is not None}
    for name, figures in known.items():
        for worst in (0.1, 0.25, 0.5):
            if name == "loss near step 100" or worst < 0.5:
                yield f"worst {worst:.0%} by {name}", lowest(figures, worst)
    for eighth in (2, 3, 4):
        found = {genome: _middle(course, eighth) for genome, course in stage.courses.items()}
        losses_there = {genome: -own for genome, own in found.items() if own is not None}
        for worst in (0.5, 0.67):
            told = f"worst {worst:.0%} by loss at {eighth}/8 of the middle rate alone"
            yield told, lowest(losses_there, worst)


def _middle(course: Course, eighth: int) -> float | None:
    """The loss in an eighth of the sweep's trial at the middle rate; None if that failed."""
    own = [o for o in course.outcomes if o.seed == 0 and o.rate == RATES[len(RATES) // 2]]
    return own[0].curve[eighth - 1] if own else None


def lowest(figures: Mapping[str, float], part: float) -> set[str]:
    """The keys with the lowest figures, so large a part of them.

    >>> lowest({"a": 1.0, "b": 3.0, "c": 2.0, "d": 9.0}, 0.5) == {"a", "c"}
    True
    """
    order = sorted(figures, key=lambda key: figures[key])
    return set(order[: round(part * len(order))])


def _mixes(expression: str) -> bool:
    return any(node.role == "token mixer" for _, node in palmette.parse(expression).root.walk())
