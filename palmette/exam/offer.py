"""An exam as it is told before it begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from palmette.exam.entrants import hypotheses
from palmette.exam.opening import OpenExam
from palmette.records import Offer
from palmette.store.exams import ExamRoom


def offer(opened: OpenExam) -> Offer:
    """Who sits, what may be said of whom and what it costs; of one that was begun, what was fixed.

    Alphas of one that was not begun are those that the ledger would give now.
    """
    plan = opened.kept.plan if opened.kept else None
    ledger = ExamRoom(opened.store).ledger()
    if opened.kept is not None:
        ledger = [row for row in ledger if row.exam < opened.kept.number]
    draws = {draw.number: draw for draw in opened.campaign.draws()}
    drawn = plan.draw if plan else max(draws, default=0)
    return Offer(
        campaign=opened.campaign.config.name,
        scale=opened.recipe.scale,
        exam=opened.kept.number if opened.kept else None,
        draw=None if opened.fresh else draws[drawn],
        rungs=plan.rungs if plan else opened.recipe.rungs,
        looks=plan.looks if plan else opened.recipe.looks,
        q=plan.q if plan else opened.recipe.q,
        entries=opened.entries,
        hypotheses=plan.hypotheses if plan else hypotheses(opened.entries, opened.recipe, ledger),
        spent=tuple(ledger),
        tuning_trials=plan.tuning_trials if plan else opened.tuning_trials,
        price=opened.price,
        unheeded=tuple(_unheeded(opened)),
    )


def _unheeded(opened: OpenExam) -> Iterator[str]:
    """What of the options the exam does not follow, because it was begun with something else."""
    if opened.kept is None:
        return
    plan, asked = opened.kept.plan, opened.options
    if asked.looks is not None and asked.looks != plan.looks:
        yield f"looks after {_listed(plan.looks)} seeds, not {_listed(asked.looks)}"
    if opened.recipe.last.tokens != plan.rungs[-1].tokens:
        yield f"{plan.rungs[-1].tokens:,} tokens, not {opened.recipe.last.tokens:,}"
    if asked.tuning_trials is not None and asked.tuning_trials != plan.tuning_trials:
        yield f"{plan.tuning_trials} trials of tuning, not {asked.tuning_trials}"
    sitting = {entry.label for entry in plan.entries if entry.role == "baseline"}
    if more := sitting.intersection(asked.leave_out):
        yield f"{_listed(sorted(more))} among the baselines"


def _listed(parts: Iterable[object]) -> str:
    return " and ".join(map(str, parts))
