"""The made-up campaign as if a language model had proposed every third genome of it.

`python -m tests.report.designers FILE` writes the page to look at.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from palmette.records import Candidate, Event, Thought
from palmette.report import ReportData, write
from palmette.search.designs import DECLINED
from palmette.testing.example_records import example_thought
from tests.report.make_example import example

MODELS = ("a-small-model", "a-large-model")
PRICES = {"a-small-model": None, "a-large-model": 4e-6}  # US dollars a token
ORIGINS = ("knowledge", "experience", "experience", "original", None)
FIRST_LOST = 1000  # numbers of proposals that came to nothing


def designed(data: ReportData, models: tuple[str, ...] = MODELS, seed: int = 0) -> ReportData:
    """The campaign with designers of these models."""
    rng = random.Random(seed)
    found = [held for held in data.candidates if held.role == "found"]
    chosen = {held.genome for held in found[1::3]}
    candidates = [_signed(held, chosen) for held in data.candidates]
    quality = {row.genome: row.score or 0.0 for row in data.tree}
    thoughts = [
        thought
        for held in candidates
        if held.proposer == "llm" and held.proposal is not None
        for thought in _thoughts(held.proposal, quality[held.genome], models, rng)
    ]
    lost = range(FIRST_LOST, FIRST_LOST + 4)
    thoughts += [_lost(number, models) for number in lost]
    return replace(
        data,
        config=data.config.model_copy(update={"proposers": ("evolution", "llm")}),
        candidates=candidates,
        tree=[
            row.model_copy(update={"proposer": "llm"})
            if row.genome in chosen and row.role == "found"
            else row
            for row in data.tree
        ],
        thoughts=thoughts,
        events=[*data.events, *(_declined(number) for number in lost)],
    )


def _signed(held: Candidate, chosen: set[str]) -> Candidate:
    mine = held.role == "found" and held.genome in chosen
    return held.model_copy(update={"proposer": "llm"}) if mine else held


def _thoughts(
    number: int, quality: float, models: tuple[str, ...], rng: random.Random
) -> Iterator[Thought]:
    model = models[number % len(models)]
    rest = {"proposal": number, "model": model, "usd": None, "origin": None}
    rest |= {"tokens_in": rng.randrange(900, 2000), "tokens_out": rng.randrange(60, 300)}
    price = PRICES[model]
    if price is not None:
        rest["usd"] = price * rest["tokens_in"]
    yield example_thought(**rest, content={"thought": "recall first"})
    if rng.random() < 0.4:
        yield example_thought(
            **rest, outcome="invalid", faults=("no knob is called x",), content={}
        )
        yield example_thought(**{**rest, "origin": rng.choice(ORIGINS)}, attempt=2)
    else:
        yield example_thought(**{**rest, "origin": rng.choice(ORIGINS)})
    rating = max(1, min(5, round(3 + 150 * (quality - 0.38) + rng.gauss(0, 1))))
    yield example_thought(**rest, role="reviewer", content={"rating": rating, "remarks": []})


def _lost(number: int, models: tuple[str, ...]) -> Thought:
    outcome = ("invalid", "failed", "refused", "invalid")[number % 4]
    answer = None if outcome == "failed" else "<script>alert(1)</script>"
    return example_thought(
        proposal=number, outcome=outcome, model=models[0], answer=answer, origin=None, usd=None,
        tokens_in=1200, tokens_out=90, content={},
    )  # fmt: skip


def _declined(number: int) -> Event:
    reason = "researcher: no legal answer in 4 attempts: <script>alert(1)</script> is no knob"
    detail = {"proposal": number, "proposer": "llm", "reason": reason, "silent": number % 4 == 1}
    return Event(seconds=float(number), kind=DECLINED, detail=detail)


if __name__ == "__main__":
    print(write(designed(example()), Path(sys.argv[1])))
