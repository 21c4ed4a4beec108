"""An exam as one record, from the store alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from palmette.exam.placebos import placebo_rate
from palmette.exam.results import sat
from palmette.records import CanaryRow, Draw, Exam, LedgerRow, Spent, StoredExam, StoredTrial
from palmette.store import Store
from palmette.store.exams import ExamRoom


def summary(store: Store, number: int) -> Exam:
    """The exam of this number; `UserError` if there is none."""
    room = ExamRoom(store)
    stored = room.exam(number)
    draws = store.campaign(stored.campaign).draws()
    sits = stored.sitting in store.campaigns("exam")
    return exam_record(
        stored,
        next(draw for draw in draws if draw.number == stored.plan.draw),
        store.campaign(stored.sitting).trials() if sits else None,
        room.exams(),
        room.ledger(),
        room.canary(number),
    )


def exam_record(
    stored: StoredExam,
    draw: Draw,
    trials: Sequence[StoredTrial] | None,
    exams: Iterable[StoredExam],
    ledger: Sequence[LedgerRow],
    canary: Sequence[CanaryRow],
) -> Exam:
    """All that there is of an exam in one place.

    Args:
        stored: the exam; it has no verdicts as long as it is running.
        draw: that it opened.
        trials: of its sitting; None where that has not begun.
        exams: all of the store, over which placebos are counted.
        ledger: of the store, up to now.
        canary: of this exam.
    """
    return Exam(
        exam=stored.number,
        campaign=stored.campaign,
        state=stored.state,
        plan=stored.plan,
        draw=draw,
        sat=tuple(sat(stored.plan, trials or ())),
        verdicts=stored.verdicts,
        placebos=stored.placebos,
        placebo_rate=placebo_rate(exams),
        nulls=stored.nulls,
        canary=tuple(canary),
        ledger=tuple(ledger),
        spent=None if trials is None else spent(trials),
    )


def spent(trials: Iterable[StoredTrial]) -> Spent:
    """What these trials have cost; the seconds of those that failed are not known."""
    ended = [trial for trial in trials if trial.state in ("done", "failed")]
    return Spent(
        trials=len(ended),
        failed=sum(trial.state == "failed" for trial in ended),
        worker_seconds=math.fsum(trial.result.wall_seconds for trial in ended if trial.result),
    )
