"""The story of a genome, from its lineage, its trials and what designers thought of it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from palmette.ladder.ranking import estimates
from palmette.ladder.results import Ascent, ascents, score_at
from palmette.ladder.scales import Scale
from palmette.ladder.statistics import Estimate
from palmette.records import Candidate, Thought, TraceRow, TraceRung, TraceStep
from palmette.search.designs import ASKED
from palmette.store import Campaign


@dataclass(frozen=True)
class Kept:
    """A thought, and whether it was lost: its session was interrupted and its steps taken again."""

    thought: Thought
    lost: bool


def trace(campaign: Campaign, genome: str, scale: Scale, prompts: bool = False) -> TraceRow | None:
    """The way from the root to a genome (hash), with the prompts' texts if they are wanted.

    None if it is no candidate of the campaign.
    """
    climbers = ascents(campaign.candidates(), campaign.trials(), scale)
    by_hash = {held.candidate.genome: held for held in climbers if not held.candidate.replica}
    if genome not in by_hash:
        return None
    lost = {n for event in campaign.events() if event.kind == ASKED for n in event.detail["lost"]}
    thoughts: dict[int, list[Kept]] = defaultdict(list)
    for place, thought in enumerate(campaign.thoughts()):
        thoughts[thought.proposal].append(Kept(thought, place in lost))
    steps = _steps(_lineage(genome, by_hash), climbers, thoughts, scale)
    last = by_hash[genome].candidate
    return TraceRow(
        campaign=campaign.config.name,
        genome=genome,
        expression=last.expression,
        name=last.name,
        steps=steps,
        prompts=_prompts(campaign, steps) if prompts else None,
    )


def _lineage(genome: str, by_hash: Mapping[str, Ascent]) -> list[Ascent]:
    """A genome's first parent, that one's, and so on to the root, the root first."""
    chain = [by_hash[genome]]
    while (parents := chain[-1].candidate.parents) and parents[0] in by_hash:
        chain.append(by_hash[parents[0]])
    return chain[::-1]


def _steps(
    lineage: Sequence[Ascent],
    climbers: Sequence[Ascent],
    thoughts: Mapping[int, Sequence[Kept]],
    scale: Scale,
) -> tuple[TraceStep, ...]:
    by_rung = [_rungs(lineage, climbers, rung, scale) for rung in range(len(scale.rungs))]
    steps = []
    before: float | None = None
    for climber in lineage:
        first = score_at(climber, 0, scale)
        score = first.mean if first else None
        change = None if score is None or before is None else score - before
        rungs = tuple(held[climber] for held in by_rung if climber in held)
        number = climber.candidate.proposal
        own = () if number is None else thoughts.get(number, ())
        steps.append(_step(climber.candidate, rungs, change, own))
        before = score
    return tuple(steps)


def _rungs(
    lineage: Sequence[Ascent], climbers: Sequence[Ascent], rung: int, scale: Scale
) -> dict[Ascent, TraceRung]:
    """What those of a lineage that were let onto a rung have done there."""
    estimated = estimates(climbers, rung, scale)
    return {
        climber: _rung(climber, rung, scale, estimated) for climber in lineage if climber.at(rung)
    }


def _rung(
    climber: Ascent, rung: int, scale: Scale, estimated: Mapping[Ascent, Estimate | None]
) -> TraceRung:
    trials = climber.at(rung)
    score = score_at(climber, rung, scale)
    estimate = estimated.get(climber)
    reasons = dict.fromkeys(t.reason for t in trials if t.state == "failed" and t.reason)
    return TraceRung(
        rung=scale.rungs[rung].name,
        trials=tuple(trial.trial for trial in trials),
        states=dict(Counter(trial.state for trial in trials)),
        learning_rate=score.learning_rate if score else None,
        score=score.mean if score else None,
        seeds=len(score.values) if score else None,
        estimate=estimate.value if estimate else None,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        reasons=tuple(reasons),
    )


def _step(
    candidate: Candidate,
    rungs: tuple[TraceRung, ...],
    change: float | None,
    kept: Sequence[Kept],
) -> TraceStep:
    paid = [held.thought for held in kept if held.thought.model is not None]
    thoughts = [held.thought for held in kept if not held.lost]
    before = [thought for thought in thoughts if thought.role != "analyst"]  # who looks back
    promise = candidate.prediction
    prices = [thought.usd for thought in paid if thought.usd is not None]
    return TraceStep(
        **candidate.model_dump(
            include={
                *("genome", "expression", "role", "name", "parents", "proposal", "proposer"),
                *("edit", "edit_text", "motivation"),
            }
        ),
        prediction=promise,
        change=change,
        held=None if promise is None or change is None else promise.low <= change <= promise.high,
        rungs=rungs,
        origin=next((held.origin for held in reversed(thoughts) if held.origin), None),
        models=_once(thought.model for thought in paid),
        cards=_once(card for thought in before for card in thought.cards),
        context=_once(genome for thought in before for genome in thought.genomes),
        rating=rating(thoughts),
        remarks=tuple(remark for thought in thoughts for remark in _remarks(thought)),
        lesson=next((told for held in thoughts if (told := _lesson(held))), None),
        tokens_in=sum(thought.tokens_in for thought in paid) if paid else None,
        tokens_out=sum(thought.tokens_out for thought in paid) if paid else None,
        usd=math.fsum(prices) if prices else None,
        seconds=math.fsum(thought.seconds for thought in paid) if paid else None,
        thoughts=tuple(held.thought for held in kept),
        lost=tuple(place for place, held in enumerate(kept) if held.lost),
    )


def rating(thoughts: Iterable[Thought]) -> float | None:
    """What a reviewer gave the idea that a proposal ended with, out of the proposal's thoughts.

    None if nobody reviewed it: a rating of a draft that was then revised is not the revision's.
    """
    given = None
    for thought in thoughts:
        if thought.outcome == "fine" and thought.role == "reviewer":
            given = _number(thought.content.get("rating"))
        elif thought.outcome == "fine" and thought.role not in ("check", "engineer", "analyst"):
            given = None
    return given


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _remarks(thought: Thought) -> tuple[str, ...]:
    if thought.role != "reviewer":
        return ()
    given = thought.content.get("remarks", ())
    told = given if isinstance(given, list | tuple) else (given,)
    return tuple(remark for remark in told if isinstance(remark, str) and remark.strip())


def _lesson(thought: Thought) -> str | None:
    """What an analyst learned: when it holds, and what it is."""
    if thought.role != "analyst" or thought.outcome != "fine":
        return None
    told = (thought.content.get(name) for name in ("trigger", "insight"))
    return "\n".join(part for part in told if isinstance(part, str)) or None


def _once(held: Iterable[str | None]) -> tuple[str, ...]:
    """What is there, each once, in the order in which it first came."""
    return tuple(dict.fromkeys(one for one in held if one))


def _prompts(campaign: Campaign, steps: Iterable[TraceStep]) -> dict[str, str]:
    named = _once(thought.prompt for step in steps for thought in step.thoughts)
    texts = ((digest, campaign.prompt(digest)) for digest in named)
    return {digest: text for digest, text in texts if text is not None}
