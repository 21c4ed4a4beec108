"""The power of a whole exam, by simulation: planned looks, every baseline beaten at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palmette.ladder.statistics.contrast import difference_parts, upper_tail
from palmette.ladder.statistics.intervals import Estimate, share


@dataclass(frozen=True)
class PlanPower:
    """How often a plan verifies, and the seeds that it then takes on average."""

    power: Estimate
    seeds: float


def plan_power(
    advantages: Sequence[float],
    deviation: float,
    looks: Sequence[int],
    levels: Sequence[float],
    paired: bool,
    correlation: float = 0.0,
    exams: int = 4000,
    seed: int = 0,
) -> PlanPower:
    """What a sequential plan finds of a candidate that is better than each baseline by so much.

    Values are normal; `deviation` is one entry's over seeds, `correlation` what any two entries
    share over seeds (paired plans alone have that). At each look the largest one-sided p over the
    baselines is held against that look's level. With all advantages 0 it is the size. The interval
    is the simulation's (Wilson); the same seed gives the same bits.

    Raises:
        ValueError: as many levels as looks, and at least one baseline, are wanted.
    """
    if len(looks) != len(levels) or not advantages:
        raise ValueError(
            f"a plan wants one level for each look and a baseline, got {len(looks)} looks, "
            f"{len(levels)} levels and {len(advantages)} baselines"
        )
    generator = np.random.default_rng(seed)
    last, baselines = looks[-1], len(advantages)
    own = generator.standard_normal((exams, baselines + 1, last))
    if paired and correlation > 0:
        common = generator.standard_normal((exams, 1, last))
        own = math.sqrt(1 - correlation) * own + math.sqrt(correlation) * common
    scores = deviation * own
    candidate = scores[:, :1]
    others = scores[:, 1:] - np.asarray(advantages, dtype=float)[:, None]
    found = np.zeros(exams, dtype=bool)
    seeds = np.full(exams, float(last))
    for look, level in zip(looks, levels, strict=True):
        parts = difference_parts(candidate[..., :look], others[..., :look], paired)
        passed = (upper_tail(*parts).max(-1) <= level) & ~found
        seeds[passed] = look
        found |= passed
    power = share(int(found.sum()), exams)
    assert power is not None
    return PlanPower(power, float(seeds.mean()))
