"""An exam from the store alone: its plan, what was measured, and what may be said by now."""

from __future__ import annotations

from collections.abc import Sequence

from palmette.exam.judge import judge
from palmette.exam.placebos import placebo_rate
from palmette.exam.results import sat
from palmette.records import Draw, Exam, Spent, StoredExam, StoredTrial
from palmette.store import Store
from palmette.store.exams import ExamRoom


def summary(store: Store, number: int) -> Exam:
    """Everything that is known of an exam; of one that is not over, what the judge says by now.

    Raises `UserError` if the store holds no exam of this number.
    """
    room = ExamRoom(store)
    exam = room.exam(number)
    begun = exam.sitting in store.campaigns("exam")
    trials = store.campaign(exam.sitting).trials() if begun else []
    measured = sat(exam.plan, trials)
    verdicts, placebos = exam.verdicts, exam.placebos
    if exam.state == "running":
        judged = judge(exam.plan, measured)
        verdicts, placebos = judged.verdicts, judged.placebos
    return Exam(
        exam=exam.number,
        campaign=exam.campaign,
        state=exam.state,
        plan=exam.plan,
        draw=_draw(store, exam),
        sat=tuple(measured),
        verdicts=verdicts,
        placebos=placebos,
        placebo_rate=placebo_rate(room.exams()),
        nulls=exam.nulls,
        canary=tuple(room.canary(number)),
        ledger=tuple(room.ledger()),
        spent=spent(trials) if begun else None,
    )


def spent(trials: Sequence[StoredTrial]) -> Spent:
    """What these trials have cost; seconds are those of trials that gave a result."""
    ended = [trial for trial in trials if trial.state in ("done", "failed")]
    return Spent(
        trials=len(ended),
        failed=sum(trial.state == "failed" for trial in ended),
        worker_seconds=sum(trial.result.wall_seconds for trial in ended if trial.result),
    )


def _draw(store: Store, exam: StoredExam) -> Draw:
    draws = store.campaign(exam.campaign).draws()
    return next(draw for draw in draws if draw.number == exam.plan.draw)
