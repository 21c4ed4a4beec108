"""A study of designers: does a language model find more than evolution does, and at what price?

The figures of the arms (`search.arms`), read from the store alone, whenever somebody asks:

    gain             a genome's first-rung score minus its parent's (`search.gains`)
    against          an arm's mean gain minus the reference's: evolution's, or the first arm's that
                     asks no model
    per 1,000 tokens or dollar: what an arm gained more than the reference, by all that it spent
    best             the best of the first n genomes minus the root, n being what all arms have;
                     to be held against `noise_best`, what the best of n that equal the root
                     would seem to gain; the noise is that of root and placebos
    valid, hits, agreement: proposals that became genomes; predicted intervals that held the
                     measured change; reviewers' ratings against it

A parent was chosen for a score that luck had a part in, so gains are negative on average; that is
why an arm is told against the reference. Arms that choose parents otherwise (the best ten instead
of a tournament's winner) lose more by it: `best` does not depend on that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from palmette.ladder.results import Ascent, ascents, score_at
from palmette.ladder.scales import Scale
from palmette.ladder.statistics import Estimate, mean_interval, pooled_noise
from palmette.records import (
    CampaignConfig,
    DesignerConfig,
    Span,
    Study,
    StudyArm,
    StudyPoint,
    Thought,
)
from palmette.search.arms import Arm
from palmette.search.designs import DECLINED
from palmette.search.gains import (
    Outcome,
    agreement,
    best_after,
    bought,
    difference,
    hits,
    luck,
    mean_gain,
    share,
)
from palmette.store import Campaign

REFERENCE = "evolution"


def outcomes(campaign: Campaign, scale: Scale) -> list[Outcome]:
    """What came of each proposal that has ended, in the order of the proposals."""
    climbers = ascents(campaign.candidates(), campaign.trials(), scale)
    thoughts: dict[int, list[Thought]] = defaultdict(list)
    for thought in campaign.thoughts():
        thoughts[thought.proposal].append(thought)
    scores = {c.candidate.genome: _score(c, scale) for c in climbers if not c.candidate.replica}
    declined = [event.detail["proposal"] for event in campaign.events() if event.kind == DECLINED]
    found = [_cost(Outcome(number, tried=False), thoughts[number]) for number in set(declined)]
    for climber in climbers:
        child = climber.candidate
        if child.role != "found" or child.proposal is None or _under_way(climber):
            continue
        score = scores[child.genome]
        parent = scores.get(child.parents[0]) if child.parents else None
        guess = child.prediction
        outcome = Outcome(
            child.proposal,
            score=score,
            gain=None if score is None or parent is None else score - parent,
            predicted=Estimate(guess.change, guess.low, guess.high) if guess else None,
        )
        found.append(_cost(outcome, thoughts[child.proposal]))
    return sorted(found, key=lambda outcome: outcome.proposal)


def studied(
    name: str,
    arms: Sequence[Arm],
    campaigns: Mapping[tuple[str, int], Campaign],
    seeds: Sequence[int],
    scale: Scale,
    wanted: int,
) -> Study:
    """The study as far as it has come. `campaigns` are those that exist, by arm and seed."""
    told = {
        arm.name: [
            outcomes(campaigns[arm.name, seed], scale) if (arm.name, seed) in campaigns else []
            for seed in seeds
        ]
        for arm in arms
    }
    designers = [c.config.designer for c in campaigns.values() if c.config.designer]
    return weighed(
        name,
        next(iter(campaigns.values())).config,
        _models(designers),
        arms,
        told,
        [_placebos(campaigns, arms, seed, scale) for seed in seeds],
        seeds,
        wanted,
    )


def weighed(
    name: str,
    config: CampaignConfig,
    models: tuple[str, ...],
    arms: Sequence[Arm],
    told: Mapping[str, Sequence[Sequence[Outcome]]],
    placebos: Sequence[Sequence[float]],
    seeds: Sequence[int],
    wanted: int,
) -> Study:
    """The study of these outcomes, by arm and seed.

    `placebos` are the first-rung scores of the root and its placebos, the root's first, by seed.
    `config` is one of the campaigns'.
    """
    noise = pooled_noise(placebos)
    counts = [sum(outcome.tried for outcome in one) for own in told.values() for one in own]
    compared = min((count for count in counts if count), default=0)
    draws = range(1, max(counts, default=0) + 1)
    band = tuple(_sure(luck(n, len(seeds), noise)) for n in draws) if noise else ()
    plain = [arm.name for arm in arms if arm.knowledge is None]
    reference = REFERENCE if REFERENCE in plain else next(iter(plain), None)
    base = told[reference] if reference else None
    roots = [next(iter(scores), None) for scores in placebos]
    return Study(
        study=name,
        root=config.root_name or config.root,
        scale=config.scale,
        suite=config.suite,
        models=models,
        seeds=tuple(seeds),
        wanted=wanted,
        compared=compared,
        reference=reference,
        noise=noise.deviation if noise else None,
        noise_best=band[compared - 1] if band and compared else None,
        luck=band,
        arms=tuple(
            _row(
                arm,
                told[arm.name],
                base if arm.name != reference else None,
                roots,
                compared,
                tuple(arm.campaign(name, seed, seeds[0]) for seed in seeds),
            )
            for arm in arms
        ),
    )


def _row(
    arm: Arm,
    own: Sequence[Sequence[Outcome]],
    base: Sequence[Sequence[Outcome]] | None,
    roots: Sequence[float | None],
    compared: int,
    campaigns: tuple[str, ...],
) -> StudyArm:
    every = [outcome for one in own for outcome in one]
    tried = [outcome for outcome in every if outcome.tried]
    prices = [outcome.usd for outcome in every]
    best = _point(own, roots, compared)
    return StudyArm(
        arm=arm.name,
        proposer=arm.proposer,
        knowledge=arm.knowledge,
        feedback=arm.feedback,
        campaigns=campaigns,
        genomes=len(tried),
        failed=sum(outcome.score is None for outcome in tried),
        declined=len(every) - len(tried),
        valid=_span(share(len(tried), len(every))),
        gain=_span(mean_gain(own)),
        against=_span(difference(own, base)) if base else None,
        per_1000_tokens=_span(bought(own, base, lambda o: o.tokens / 1000)) if base else None,
        per_usd=_span(bought(own, base, lambda o: o.usd)) if base else None,
        best=best.best,
        best_span=best.span,
        course=_course(own, roots),
        hits=_span(hits(every)),
        agreement=_span(agreement(every)),
        tokens=sum(outcome.tokens for outcome in every),
        usd=None if None in prices else sum(price or 0.0 for price in prices),
        endpoint_seconds=sum(outcome.seconds for outcome in every),
    )


def _point(
    own: Sequence[Sequence[Outcome]], roots: Sequence[float | None], genomes: int
) -> StudyPoint:
    """The best of the first so many genomes, over the seeds that have a root's score."""
    rises = [
        best - root
        for one, root in zip(own, roots, strict=True)
        if root is not None and (best := best_after(one, genomes)) is not None
    ]
    mean = sum(rises) / len(rises) if rises else None
    return StudyPoint(genomes=genomes, best=mean, span=_span(mean_interval(rises)))


def _course(
    own: Sequence[Sequence[Outcome]], roots: Sequence[float | None]
) -> tuple[StudyPoint, ...]:
    """Best so far after every genome that all seeds of an arm have got to.

    Beyond that the mean would be of fewer seeds, and could fall.
    """
    counts = [sum(outcome.tried for outcome in one) for one in own]
    least = min((count for count in counts if count), default=0)
    return tuple(_point(own, roots, n) for n in range(1, least + 1))


def _placebos(
    campaigns: Mapping[tuple[str, int], Campaign], arms: Sequence[Arm], seed: int, scale: Scale
) -> list[float]:
    """First-rung scores of the root and its placebos under one seed, the root's first.

    The arms of a seed train the same ones, bit for bit; each is taken once.
    """
    found: dict[int, float] = {}
    for arm in arms:
        campaign = campaigns.get((arm.name, seed))
        if campaign is None:
            continue
        for climber in ascents(campaign.candidates(), campaign.trials(), scale):
            candidate = climber.candidate
            score = None if _under_way(climber) else _score(climber, scale)
            if candidate.role in ("root", "placebo") and score is not None:
                found.setdefault(candidate.replica, score)
    return [found[replica] for replica in sorted(found)] if 0 in found else []


def _cost(outcome: Outcome, thoughts: Sequence[Thought]) -> Outcome:
    """The outcome with what its thoughts cost and what a reviewer said last."""
    ratings = [thought.content.get("rating") for thought in thoughts if thought.role == "reviewer"]
    said = [float(rating) for rating in ratings if isinstance(rating, int | float)]
    paid = [thought for thought in thoughts if thought.model is not None]
    unknown = any(thought.usd is None for thought in paid)
    return replace(
        outcome,
        rating=said[-1] if said else None,
        tokens=sum(thought.tokens_in + thought.tokens_out for thought in paid),
        usd=None if unknown else sum(thought.usd or 0.0 for thought in paid),
        seconds=sum(thought.seconds for thought in paid),
    )


def _under_way(climber: Ascent) -> bool:
    first = climber.at(0)
    return not first or any(trial.state in ("queued", "running") for trial in first)


def _score(climber: Ascent, scale: Scale) -> float | None:
    found = score_at(climber, 0, scale)
    return found.mean if found else None


def _models(configs: Sequence[DesignerConfig]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(model for config in configs for model in config.models))


def _span(found: Estimate | None) -> Span | None:
    return _sure(found) if found else None


def _sure(found: Estimate) -> Span:
    return Span(value=found.value, low=found.low, high=found.high)
