"""What a part is worth among genomes that a random proposer drew, each at its own rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rediscovery.parts import PARTS
from palmette.ladder.statistics import CONFIDENCE, Estimate

DRAWS = 2000


@dataclass(frozen=True)
class Worth:
    """How many genomes have a part, and what it adds to the score where the others are held."""

    part: str
    having: int
    genomes: int
    gain: Estimate | None


def measured(rows: Sequence[dict[str, Any]], arm: str = "random", seed: int = 0) -> list[Worth]:
    """Least squares of the score on which parts there are, with a bootstrap over genomes.

    Of the arm whose genomes do not descend from those that scored. None where all genomes or none
    have the part.
    """
    own = [row for row in rows if (row["arm"], row["role"]) == (arm, "found")]
    own = [row for row in own if row["score"] is not None]
    scores = np.array([row["score"] for row in own])
    has = np.array([[1.0, *(part in row["parts"] for part in PARTS)] for row in own])
    if not own:
        return []
    generator = np.random.default_rng(seed)
    columns = (generator.integers(len(own), size=len(own)) for _ in range(DRAWS))
    drawn = np.array([_gains(has[taken], scores[taken]) for taken in columns])
    made = []
    for place, (part, gain) in enumerate(zip(PARTS, _gains(has, scores)[1:], strict=True), 1):
        estimate = None
        if not np.isnan(gain):
            tails = (1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2
            estimate = Estimate(float(gain), *map(float, np.nanquantile(drawn[:, place], tails)))
        made.append(Worth(part, int(has[:, place].sum()), len(own), estimate))
    return made


def _gains(has: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients [1 + parts]; not a number for parts that do not vary."""
    varies = has.std(axis=0) > 0
    varies[0] = True
    made = np.full(has.shape[1], np.nan)
    made[varies] = np.linalg.lstsq(has[:, varies], scores, rcond=None)[0]
    return made


def markdown(found: Sequence[Worth]) -> str:
    """The table for people."""
    lines = ["| part | random genomes that have it | adds to the score |", "|---|---|---|"]
    for one in found:
        told = "–"
        if one.gain is not None:
            told = f"{one.gain.value:+.4f} [{one.gain.low:+.4f}, {one.gain.high:+.4f}]"
        lines.append(f"| {one.part} | {one.having} of {one.genomes} | {told} |")
    return "\n".join(lines)
