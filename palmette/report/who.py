"""Who proposed, and what it was worth: proposers side by side, and the designers' models.

What designers said of their own ideas (a prediction, a review) is held against what was measured
and enters nothing else.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import get_args

from palmette.ladder.statistics import Estimate, mean_interval, rank_correlation, share
from palmette.records import Event, Origin, Thought, TreeRow
from palmette.report.data import ReportData
from palmette.report.summaries import Outcome, outcomes
from palmette.search.designs import DECLINED
from palmette.search.trace import rating

NOT_IDEAS = {"check", "reviewer", "analyst"}  # roles whose answers propose nothing
FEWEST_RATINGS = 10  # from which on reviews are compared with what was measured


@dataclass(frozen=True)
class Gain:
    """How first-rung scores changed from parent to child: the mean with a 95 % interval by
    Student's t; a single change has a mean and no interval.
    """

    measured: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Row:
    """One proposer, or one of its models.

    models     that it asked; of a row of one model that alone
    proposals  that it was asked for and that ended
    nothing    how many of them came to nothing, by reason
    legal      share of a model's ideas that were legal as they came, before any repair
    gain       of its children
    best       the highest first-rung score among them
    held       share of changes inside the interval that was predicted
    usd        of the calls whose price is known
    """

    proposer: str
    models: tuple[str, ...]
    part: bool  # whether it is one of several models of the proposer above
    proposals: int
    nothing: tuple[tuple[str, int], ...]
    ideas: int
    legal: Estimate | None
    gain: Gain
    best: float | None
    predicted: int
    held: Estimate | None
    tokens_in: int | None
    tokens_out: int | None
    usd: float | None

    @property
    def declined(self) -> int:
        """How many proposals came to nothing."""
        return sum(count for _, count in self.nothing)


@dataclass(frozen=True)
class Source:
    """The ideas of one origin: how many became genomes, and what those gained."""

    origin: Origin
    ideas: int
    gain: Gain


@dataclass(frozen=True)
class Who:
    """All that the section shows. `declined` are the proposals that came to nothing."""

    rows: tuple[Row, ...]
    sources: tuple[Source, ...]
    reviewed: int  # genomes with a rating and a measured change
    review: Estimate | None  # Spearman's correlation of the two
    declined: tuple[Event, ...]


def proposed(data: ReportData) -> Who | None:
    """Who proposed; None for a campaign of one proposer that asks no model."""
    declined = tuple(event for event in data.events if event.kind == DECLINED)
    names = _names(data, declined)
    if len(names) < 2 and not data.thoughts:
        return None
    made = outcomes(data.tree)
    numbers = _numbers(data)
    rows = [row for name in names for row in _rows(name, data, declined, made, numbers)]
    rated = _ratings(data.thoughts)
    pairs = [
        (rated[number], outcome.change)
        for outcome in made
        if (number := numbers.get(outcome.row.genome)) in rated and number is not None
    ]
    enough = len(pairs) >= FEWEST_RATINGS
    return Who(
        rows=tuple(rows),
        sources=_sources(data, made, numbers),
        reviewed=len(pairs),
        review=rank_correlation([x for x, _ in pairs], [y for _, y in pairs]) if enough else None,
        declined=declined,
    )


def _names(data: ReportData, declined: Iterable[Event]) -> list[str]:
    """The proposers in the order of the campaign's settings, others behind them."""
    seen = [row.proposer for row in data.tree if row.role == "found" and row.proposer]
    seen += [thought.proposer for thought in data.thoughts]
    seen += [str(event.detail["proposer"]) for event in declined]
    order = [name for name in data.config.proposers if name in seen]
    return list(dict.fromkeys([*order, *seen]))


def _numbers(data: ReportData) -> dict[str, int]:
    """The number of the proposal that each found genome came of."""
    found = (held for held in data.candidates if held.role == "found")
    return {held.genome: held.proposal for held in found if held.proposal is not None}


def _rows(
    name: str,
    data: ReportData,
    declined: Sequence[Event],
    made: Sequence[Outcome],
    numbers: dict[str, int],
) -> list[Row]:
    thoughts = [thought for thought in data.thoughts if thought.proposer == name]
    found = [row for row in data.tree if row.role == "found" and row.proposer == name]
    lost = [event for event in declined if event.detail["proposer"] == name]
    own = [outcome for outcome in made if outcome.row in found]
    authors = _authors(thoughts)
    models = tuple(sorted({thought.model for thought in thoughts if thought.model}))
    whole = _row(name, models, False, found, lost, own, thoughts)
    if len(models) < 2:
        return [whole]
    parts = []
    for model in models:
        mine = {number for number, author in authors.items() if author == model}
        parts.append(
            _row(
                name,
                (model,),
                True,
                [row for row in found if numbers.get(row.genome) in mine],
                [event for event in lost if event.detail["proposal"] in mine],
                [outcome for outcome in own if numbers.get(outcome.row.genome) in mine],
                [thought for thought in thoughts if thought.model == model],
            )
        )
    return [whole, *parts]


def _row(
    name: str,
    models: tuple[str, ...],
    part: bool,
    found: Sequence[TreeRow],
    lost: Sequence[Event],
    own: Sequence[Outcome],
    thoughts: Sequence[Thought],
) -> Row:
    ideas = [held for held in thoughts if _is_idea(held)]
    held = [outcome.held for outcome in own if outcome.held is not None]
    asked = [thought for thought in thoughts if thought.model]
    prices = [thought.usd for thought in asked if thought.usd is not None]
    reasons = Counter(_reason(event, thoughts) for event in lost)
    return Row(
        proposer=name,
        models=models,
        part=part,
        proposals=len(found) + len(lost),
        nothing=tuple(reasons.most_common()),
        ideas=len(ideas),
        legal=share(sum(thought.outcome == "fine" for thought in ideas), len(ideas)),
        gain=_gain([outcome.change for outcome in own]),
        best=max((row.score for row in found if row.score is not None), default=None),
        predicted=len(held),
        held=share(sum(held), len(held)),
        tokens_in=sum(thought.tokens_in for thought in asked) if asked else None,
        tokens_out=sum(thought.tokens_out for thought in asked) if asked else None,
        usd=math.fsum(prices) if prices else None,
    )


def _is_idea(thought: Thought) -> bool:
    """Whether a thought is the first answer in which a model wrote an edit; to think freely
    beforehand is no such answer.
    """
    answered = thought.outcome in ("fine", "invalid", "refused") and thought.answer is not None
    first = thought.attempt == 1 and thought.role not in NOT_IDEAS
    return answered and first and "thought" not in thought.content


def _authors(thoughts: Iterable[Thought]) -> dict[int, str]:
    """The model that each proposal is of: a proposal's steps are one model's. An analyst looks back
    at a proposal, perhaps another model's.
    """
    found: dict[int, str] = {}
    for thought in thoughts:
        if thought.model and thought.role != "analyst":
            found.setdefault(thought.proposal, thought.model)
    return found


def _reason(event: Event, thoughts: Sequence[Thought]) -> str:
    """Why a proposal came to nothing, in one of a few sentences."""
    if event.detail.get("silent"):
        return "the endpoint did not answer"
    steps = [held for held in thoughts if held.proposal == event.detail["proposal"]]
    last = next((held for held in reversed(steps) if held.role != "analyst"), None)
    if last is None or last.outcome == "fine":
        return "nothing was proposed"
    if last.outcome == "refused":
        return "the model refused"
    if last.outcome == "failed":
        return "the call failed"
    return "no legal answer"


def _sources(
    data: ReportData, made: Sequence[Outcome], numbers: dict[str, int]
) -> tuple[Source, ...]:
    """Origins of the ideas that became genomes."""
    origins = {held.proposal: held.origin for held in data.thoughts if held.origin}
    of_genome = {genome: origins.get(number) for genome, number in numbers.items()}
    changes: dict[Origin, list[float]] = defaultdict(list)
    for outcome in made:
        if origin := of_genome.get(outcome.row.genome):
            changes[origin].append(outcome.change)
    counts = Counter(of_genome.values())
    return tuple(
        Source(origin, counts[origin], _gain(changes[origin]))
        for origin in get_args(Origin)
        if origins
    )


def _ratings(thoughts: Iterable[Thought]) -> dict[int, float]:
    """What the reviewer gave each idea that a proposal ended with."""
    by_number: dict[int, list[Thought]] = defaultdict(list)
    for thought in thoughts:
        by_number[thought.proposal].append(thought)
    given = {number: rating(own) for number, own in by_number.items()}
    return {number: value for number, value in given.items() if value is not None}


def _gain(changes: Sequence[float]) -> Gain:
    interval = mean_interval(changes)
    return Gain(
        measured=len(changes),
        mean=fmean(changes) if changes else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )
