"""A made-up study for tests and for looking at: `python -m tests.report.make_study FILE`."""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from pathlib import Path

from palmette.ladder.statistics import Estimate
from palmette.records import Study
from palmette.report import write_study
from palmette.search.arms import arms
from palmette.search.gains import Outcome
from palmette.search.study import weighed
from palmette.testing.example_records import example_config

SIGMA = 0.011  # between seeds of one genome
LIFT = {"genesys": 0.016, "llm": 0.004, "random": -0.012}  # what a proposer adds to a gain
PRICE = 4e-7  # dollars a token


def outcome(proposer: str, thinks: bool, number: int, lift: float, rng: random.Random) -> Outcome:
    """One proposal and what came of it."""
    tokens = rng.randint(2500, 9000) if thinks else 0
    usd = tokens * PRICE
    if rng.random() < (0.2 if thinks else 0.02):
        return Outcome(number, tried=False, tokens=tokens, usd=usd)
    gain = rng.gauss(lift - 0.008, 1.6 * SIGMA)
    guess = rng.gauss(0.0, SIGMA)
    return Outcome(
        number,
        score=0.4 + gain + rng.gauss(0.006, SIGMA),
        gain=gain,
        predicted=Estimate(guess, guess - 0.02, guess + 0.02) if proposer != "random" else None,
        rating=min(max(round(50 + 900 * gain + rng.gauss(0, 20)), 0), 100) if thinks else None,
        tokens=tokens,
        usd=usd,
    )


def made_up_study(
    names: Sequence[str] = ("llm", "genesys", "evolution", "random"),
    seeds: int = 3,
    each: int = 20,
    placebos: bool = True,
    lift: float = 1.0,
) -> Study:
    """A study of these proposers; `lift` multiplies what tells them apart."""
    own = arms(names)
    rng = random.Random(7)
    told = {}
    for arm in own:
        adds = lift * LIFT.get(arm.proposer, 0.0) * (1 if arm.feedback is not False else 0.4)
        told[arm.name] = [
            _grown(arm.proposer, arm.knowledge is not None, adds, each, rng) for _ in range(seeds)
        ]
    scores = [[rng.gauss(0.4, SIGMA) for _ in range(4 if placebos else 1)] for _ in range(seeds)]
    models = ("a-model-of-seven-billion",) if any(arm.knowledge is not None for arm in own) else ()
    config = example_config(root_name="deltanet")
    return weighed("try", config, models, own, told, scores, range(seeds), each)


def _grown(
    proposer: str, thinks: bool, lift: float, each: int, rng: random.Random
) -> list[Outcome]:
    found: list[Outcome] = []
    while sum(one.tried for one in found) < each:
        found.append(outcome(proposer, thinks, len(found), lift, rng))
    return found


if __name__ == "__main__":
    write_study(made_up_study(), Path(sys.argv[1]))
