"""Which arm is asked next, a model or a proposer, by what its proposals brought and cost.

Thompson sampling: for each arm a value is drawn from what its worth may be, and the highest is
taken. An arm's worth is its improvement per unit of cost, and the ratio of a drawn improvement to
a drawn cost is compared (Xia, Li, Qin, Yu and Liu 2015, Thompson Sampling for Budgeted Multi-armed
Bandits). Nothing is known of how improvements are distributed, so a draw reweighs the pulls that
there were with Dirichlet weights, with one more pull of the best improvement seen anywhere, which
keeps an arm with bad luck alive (Riou and Honda 2020, Bandit Algorithms Based on Thompson Sampling
for Bounded Reward Distributions).

A child worse than its parent counts as no improvement, however much worse: the search keeps the
parent and has lost the cost alone. A pull that came to nothing counts as no cheaper than the usual
one that came to something: it took a turn, and an arm that fails for nothing (a model that
declines, a server that is out) would else be pulled again and again. What an arm is worth changes
as a search goes on, so now and then one is taken at random, and only an arm's latest pulls count.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

AT_RANDOM = 0.05  # of all choices
LATEST = 200  # pulls of an arm


@dataclass(frozen=True)
class Pull:
    """What a proposal gained over its parent (None: it came to nothing) and cost, in any unit."""

    gain: float | None
    cost: float

    def __post_init__(self) -> None:
        if self.gain is not None and not math.isfinite(self.gain):
            raise ValueError(f"a gain wants to be finite or None, got {self.gain}")
        if not (math.isfinite(self.cost) and self.cost >= 0):
            raise ValueError(f"a cost wants to be finite and at least 0, got {self.cost}")

    @property
    def improvement(self) -> float:
        """The gain if it is one, else 0."""
        return max(self.gain or 0.0, 0.0)


def choose(arms: Mapping[str, Sequence[Pull]], rng: random.Random) -> str:
    """The arm to pull next; `arms` has the pulls of each so far. Raises `ValueError` for none.

    The same pulls and generator give the same arm, in whatever order the arms are named.

    >>> cheap, dear = [Pull(0.1, 1.0)] * 50, [Pull(0.2, 9.0)] * 50
    >>> choose({"cheap": cheap, "dear": dear}, random.Random(0))
    'cheap'
    """
    if not arms:
        raise ValueError("choose wants at least one arm, got none")
    latest = {name: arms[name][-LATEST:] for name in sorted(arms)}
    if rng.random() < AT_RANDOM:
        return rng.choice(list(latest))
    every = [pull for pulls in latest.values() for pull in pulls]
    best = max((pull.improvement for pull in every), default=0.0) or 1.0
    usual = _mean_cost([p for p in every if p.gain is not None]) or _mean_cost(every) or 1.0
    counted = {name: [_counted(pull, usual) for pull in pulls] for name, pulls in latest.items()}
    drawn = {
        name: _draw(pulls, best, _mean_cost(pulls) or usual, rng) for name, pulls in counted.items()
    }
    highest = max(drawn.values())
    return rng.choice([name for name, value in drawn.items() if value == highest])


def _draw(pulls: Sequence[Pull], best: float, cost: float, rng: random.Random) -> float:
    """An improvement per cost that these pulls may stand for.

    Dirichlet weights are independent exponential ones over their sum, which the ratio cancels.
    """
    if not pulls:
        return best / cost
    weight = rng.expovariate(1.0)
    gained, paid = weight * best, weight * cost
    for pull in pulls:
        weight = rng.expovariate(1.0)
        gained += weight * pull.improvement
        paid += weight * pull.cost
    return gained / paid


def _counted(pull: Pull, usual: float) -> Pull:
    return pull if pull.gain is not None else replace(pull, cost=max(pull.cost, usual))


def _mean_cost(pulls: Sequence[Pull]) -> float:
    return sum(pull.cost for pull in pulls) / len(pulls) if pulls else 0.0
