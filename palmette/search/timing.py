"""How long things will take: which rungs a time budget can pay for, and when to stop proposing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from palmette.ladder.results import CONTESTED, Ascent
from palmette.ladder.scales import Scale
from palmette.records import StoredTrial

FIXED_SHARE = 0.75  # of a budget that root and baselines may use before a rung is given up
CLOSING_SECONDS = 12.0  # for the report and the export


@dataclass(frozen=True)
class Timing:
    """Seconds by rung, measured in this campaign where it has trials, else the recipe's.

    A recipe's figure is corrected by how much slower or faster this machine was on the first rung
    that it has measured.
    """

    scale: Scale
    seconds: tuple[float, ...]  # of one trial, by rung

    @classmethod
    def of(cls, scale: Scale, trials: Sequence[StoredTrial]) -> Timing:
        """Read off finished trials."""
        measured: dict[str, list[float]] = {rung.name: [] for rung in scale.rungs}
        for trial in trials:
            if trial.result is not None:
                measured[trial.spec.rung].append(trial.result.wall_seconds)
        pace = 1.0
        seconds = []
        for rung in scale.rungs:
            if own := measured[rung.name]:
                pace = median(own) / rung.expected_seconds
            seconds.append(pace * rung.expected_seconds)
        return cls(scale, tuple(seconds))

    def of_rung(self, rung: int) -> float:
        """Worker seconds that one candidate costs at a rung."""
        recipe = self.scale.rungs[rung]
        rates: float = recipe.rates
        if rung == 0:
            rates = 1 + (1 - self.scale.gate) * (recipe.rates - 1)
        return rates * recipe.seeds * self.seconds[rung]

    def highest(self, worker_seconds: float) -> int:
        """The highest rung whose root and baselines a whole budget can pay for, and a few found."""
        spent = 0.0
        for rung in range(len(self.scale.rungs)):
            spent += (1 + len(self.scale.baselines) + self.scale.least) * self.of_rung(rung)
            if rung > 0 and spent > FIXED_SHARE * worker_seconds:
                return rung - 1
        return len(self.scale.rungs) - 1

    def committed(self, climbers: Sequence[Ascent], highest: int) -> float:
        """Worker seconds still to be spent if nothing more is proposed."""
        ahead = 0.0
        for climber in climbers:
            for rung, own in climber.trials.items():
                ahead += self.seconds[rung] * sum(t.state in ("queued", "running") for t in own)
            if climber.candidate.role not in CONTESTED:
                ahead += sum(self.of_rung(r) for r in range(climber.reached + 1, highest + 1))
        below = sum(climber.candidate.role in CONTESTED for climber in climbers)
        for rung in range(1, highest + 1):
            climbed = sum(c.reached >= rung and c.candidate.role in CONTESTED for c in climbers)
            wanted = min(below, max(math.ceil(below / self.scale.eta), self.scale.least))
            ahead += max(0, wanted - climbed) * self.of_rung(rung)
            below = max(wanted, climbed)
        return ahead
