"""Which tasks should make up fitness, and in which units?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.calibration.analysis._shared import measures, reliability, shared
from benchmarks.calibration.analysis.bounds import within
from palmette.ladder.calibration import Calibration, Fitness, Stage
from palmette.ladder.statistics import Estimate, rank_correlation

TITLE = "What to score"
NOTE = (
    "Ways to make one score of a mixture. In units of chance: the mean of bits saved as a share of "
    "chance; floored: what is below chance counts as chance; in units of spread: bits saved over "
    "the deviation between genomes at this stage, so that every task weighs alike. Told apart: the "
    "tasks whose own reliability has its lower end at 0.3 or more, and where fewer than half of "
    "the genomes are at chance. Shared with text: the squared correlation of the score with that "
    "of text alone. Ahead: Spearman's correlation with the two-seed score, made alike, of the next "
    "rung of the mixture."
)
LEAST_RELIABILITY = 0.3


@dataclass(frozen=True)
class Row:
    """One way, at one stage."""

    stage: str
    score: str
    tasks: str
    genomes: int
    reliability: Estimate | None
    shared_with_text: float | None
    ahead: Estimate | None


def measured(calibration: Calibration) -> list[Row]:
    """A row for every way, of every stage that trains on several tasks."""
    made = []
    for stage in calibration.stages.values():
        if len(stage.chance) < 2 or len(stage.values(stage.saved())) < 10:
            continue
        above = calibration.stage(stage.suite, str(int(stage.rung) + 1))
        for told, (names, fitness) in ways(stage).items():
            values = stage.values(fitness)
            ahead = ways(above).get(told) if above else None
            _, x, y = shared(stage.means(fitness), above.means(ahead[1]) if above and ahead else {})
            made.append(
                Row(
                    stage=stage.name,
                    score=told,
                    tasks=", ".join(names) if len(names) < len(stage.chance) else "all",
                    genomes=len(values),
                    reliability=reliability(np.array(list(values.values()))),
                    shared_with_text=_shared_with_text(stage, names, fitness),
                    ahead=rank_correlation(x.tolist(), y.tolist()),
                )
            )
    return made


def ways(stage: Stage) -> dict[str, tuple[tuple[str, ...], Fitness]]:
    """The ways to make a score of a stage's tasks, with the tasks that are in it."""
    every = tuple(stage.chance)
    told_apart = tuple(name for name in every if _tells(stage, name))
    spread = spreads(stage)
    made: dict[str, tuple[tuple[str, ...], Fitness]] = {
        "all, in units of chance": (every, stage.saved()),
        "all, floored": (every, _floored(stage, every)),
        "all, in units of spread": (every, _in_units(stage, every, spread)),
    }
    if "text" in every:
        made["text alone"] = (("text",), stage.saved(("text",)))
    if told_apart:
        made["told apart, in units of chance"] = (told_apart, stage.saved(told_apart))
        made["told apart, in units of spread"] = (
            told_apart,
            _in_units(stage, told_apart, spread),
        )
    return made


def score_of(stage: Stage) -> Fitness:
    """The tasks told apart in units of spread; of a single task or too few genomes, bits saved."""
    if len(stage.chance) < 2:
        return stage.saved()
    found = ways(stage).get("told apart, in units of spread")
    return found[1] if found else stage.saved()


def spreads(stage: Stage) -> dict[str, float]:
    """The deviation between genomes of the bits that they save at each task, noise taken off.

    A task that tells no genomes apart has its seeds' deviation.
    """
    found = {}
    for name, fitness in measures(stage).items():
        if name not in stage.chance:
            continue
        values = np.array(list(stage.values(fitness).values())) * stage.chance[name]
        within = float(values.var(1, ddof=1).mean()) if values.shape[1] > 1 else 0.0
        between = float(values.mean(1).var(ddof=1)) - within / values.shape[1]
        found[name] = float(np.sqrt(between if between > 0 else within))
    return found


def _tells(stage: Stage, name: str) -> bool:
    values = np.array(list(stage.values(stage.saved((name,))).values()))
    if len(values) < 10:
        return False
    found, floor = reliability(values), within(values, 0.0)
    # At chance, what is left is how sure of its guesses a model is: reliable, and no ability.
    assert found is not None, "ten genomes are enough"
    assert floor is not None, "and for this"
    return found.low >= LEAST_RELIABILITY and floor.value < 0.5


def _floored(stage: Stage, names: Sequence[str]) -> Fitness:
    chance = stage.chance
    return lambda bits: sum(max(0.0, 1 - bits[n] / chance[n]) for n in names) / len(names)


def _in_units(stage: Stage, names: Sequence[str], unit: Mapping[str, float]) -> Fitness:
    chance = stage.chance
    return lambda bits: sum((chance[n] - bits[n]) / unit[n] for n in names) / len(names)


def _shared_with_text(stage: Stage, names: Sequence[str], fitness: Fitness) -> float | None:
    if "text" not in names:
        return None
    _, x, y = shared(stage.means(stage.saved(("text",))), stage.means(fitness))
    return float(np.corrcoef(x, y)[0, 1] ** 2) if len(x) > 2 and x.std() and y.std() else None
