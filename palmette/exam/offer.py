"""An exam as it is told before it begins."""

from __future__ import annotations

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
    )
