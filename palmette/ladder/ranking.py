"""Rankings that selection does not flatter: what `best`, `tree` and the report print."""

from __future__ import annotations

from collections.abc import Sequence

from palmette.ladder.results import Ascent, RungScore, ascents, score_at
from palmette.ladder.scales import Scale
from palmette.ladder.statistics import Estimate, Noise, paired_noise, pooled_noise, shrink
from palmette.records import BestRow, Candidate, StoredTrial, TreeRow


def noise_at(climbers: Sequence[Ascent], rung: int, scale: Scale) -> Noise | None:
    """The standard deviation of one seed's score at a rung; None where nothing was repeated.

    Where genomes share several seeds, what is left after each genome's and each seed's own mean:
    what a seed does to all alike does not blur a comparison. On the rungs with one seed, the spread
    of the root and its placebos, which went through the same funnel and so carry the noise of the
    learning-rate choice as well.
    """
    scored = [(a, score) for a in climbers if (score := score_at(a, rung, scale))]
    seeds = scale.rungs[rung].seeds
    if seeds > 1:
        whole = [(a, score.values) for a, score in scored if len(score.values) == seeds]
        shared = [values for a, values in whole if a.candidate.role != "placebo"]
        return paired_noise(shared) or pooled_noise([values for _, values in whole])
    same = [score.mean for a, score in scored if a.candidate.role in ("root", "placebo")]
    return pooled_noise([same])


def highest(climber: Ascent, scale: Scale) -> tuple[int, RungScore] | None:
    """The highest rung that a candidate has finished, with its score there."""
    for rung in range(climber.reached, -1, -1):
        score = score_at(climber, rung, scale)
        if score is not None:
            return rung, score
    return None


def estimates(climbers: Sequence[Ascent], rung: int, scale: Scale) -> dict[Ascent, Estimate | None]:
    """Estimates at a rung; None where the noise is unknown.

    Found genomes, which competed, are shrunken together; root and baselines, which nobody selected,
    stand for themselves. So do placebos, and since their seeds are their own, with the noise of
    comparisons that are not paired.
    """
    scored = {a: score for a in climbers if (score := score_at(a, rung, scale))}
    noise = noise_at(climbers, rung, scale)
    made: dict[Ascent, Estimate | None] = dict.fromkeys(scored)
    if noise is None:
        return made
    unpaired = pooled_noise([score.values for score in scored.values()]) or noise
    found = [a for a in scored if a.candidate.role == "found"]
    alone = [[a] for a in scored if a.candidate.role != "found"]
    for group in (found, *alone):
        if group:
            means = [scored[a].mean for a in group]
            seeds = [len(scored[a].values) for a in group]
            placebo = group[0].candidate.role == "placebo"
            shrunken = shrink(means, seeds, unpaired if placebo else noise)
            made.update(zip(group, shrunken, strict=True))
    return made


def best_rows(
    candidates: Sequence[Candidate], trials: Sequence[StoredTrial], scale: Scale
) -> list[BestRow]:
    """All candidates with a score, the highest rung first and the best estimate first there."""
    climbers = ascents(candidates, trials, scale)
    by_rung = [estimates(climbers, rung, scale) for rung in range(len(scale.rungs))]
    ranked = []
    for climber in climbers:
        top = highest(climber, scale)
        if top is None:
            continue
        rung, score = top
        estimate = by_rung[rung][climber]
        value = estimate.value if estimate else score.mean
        ranked.append((-rung, -value, _best_row(climber, score, estimate)))
    return [row for *_, row in sorted(ranked, key=lambda item: item[:2])]


def tree_rows(
    candidates: Sequence[Candidate], trials: Sequence[StoredTrial], scale: Scale
) -> list[TreeRow]:
    """Every candidate in the order in which it came, with its edge and its first-rung score."""
    rows = []
    for climber in ascents(candidates, trials, scale):
        candidate = climber.candidate
        first = score_at(climber, 0, scale)
        top = highest(climber, scale)
        rows.append(
            TreeRow(
                genome=candidate.genome,
                expression=candidate.expression,
                replica=candidate.replica,
                role=candidate.role,
                name=candidate.name,
                parents=candidate.parents,
                edit=candidate.edit,
                edit_text=candidate.edit_text,
                proposer=candidate.proposer,
                motivation=candidate.motivation,
                prediction=candidate.prediction,
                score=first.mean if first else None,
                rung=top[1].rung if top else None,
            )
        )
    return rows


def _best_row(climber: Ascent, score: RungScore, estimate: Estimate | None) -> BestRow:
    candidate = climber.candidate
    trial = next(
        t for own in climber.trials.values() for t in own if t.spec.rung == score.rung and t.result
    )
    assert trial.result is not None, "a scored rung has a finished trial"
    return BestRow(
        genome=candidate.genome,
        expression=candidate.expression,
        name=candidate.name,
        score=estimate.value if estimate else score.mean,
        low=estimate.low if estimate else None,
        high=estimate.high if estimate else None,
        raw_score=score.mean,
        bits_per_byte=score.bits_per_byte,
        seeds=len(score.values),
        rung=score.rung,
        role=candidate.role,
        parameters=trial.result.parameters,
        flops_forward=trial.result.flops_forward,
        state_bytes=trial.result.state_bytes,
    )
