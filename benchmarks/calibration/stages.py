"""What is trained: a suite at a rung, for the first so many genomes of the list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from palmette.ladder.scales import Rung, pocket

SEEDS = 2
RATES = (7e-3, 1.5e-2, 3e-2)
FACTOR, EXTENSIONS = 2.0, 2  # the sweep goes on past an edge that holds the optimum
SLOW_SECONDS = 8.0  # of a trial at the first rung, at the median: slower ones are raised no further

TEXT_TOKENS, TASK_TOKENS = 16_384, 8_192  # of an evaluation
ALONE_TOKENS = 114_688  # of a run on one task: half of the mixture's, several times its share

_FIRST = replace(
    pocket().rungs[0], name="1", parameters=42_000, tokens=114_688, batch_size=4, length=128
)
RUNGS: dict[str, Rung] = {
    "1": _FIRST,
    "2": replace(_FIRST, name="2", parameters=84_000, tokens=229_376),
    "3": replace(_FIRST, name="3", parameters=168_000, tokens=458_752),
}


@dataclass(frozen=True)
class Stage:
    """One suite at one rung, for as many `genomes` of the list.

    A genome gets the whole sweep with its first seed, or as many of the best `rates` of the stage
    `after`; then the best of them with its second seed.
    """

    name: str
    suite: str
    rung: Rung
    genomes: int
    seeds: int = SEEDS
    rates: int = len(RATES)
    after: str | None = None


def stages(tasks: Sequence[str] = ()) -> dict[str, Stage]:
    """All stages by name; `tasks` are those that are also trained one by one."""
    made = []
    for suite, name, count, rates, after in (
        ("text", "1", 194, 3, None),
        ("text", "2", 60, 2, "text-1"),
        ("text", "3", 30, 1, "text-2"),
        ("wide", "1", 194, 3, None),
        ("wide", "2", 60, 2, "text-1"),
        ("wide", "3", 30, 1, "wide-2"),
    ):
        tokens = TEXT_TOKENS if suite == "text" else TASK_TOKENS
        rung = replace(RUNGS[name], evaluation_tokens=tokens, evaluated=(), scored=())
        made.append(Stage(f"{suite}-{name}", suite, rung, count, SEEDS, rates, after))
    alone = replace(
        RUNGS["2"], tokens=ALONE_TOKENS, evaluation_tokens=TASK_TOKENS, evaluated=(), scored=()
    )
    made += [Stage(f"{task}-alone", task, alone, 20, 1, 2, "wide-2") for task in tasks]
    return {stage.name: stage for stage in made}
