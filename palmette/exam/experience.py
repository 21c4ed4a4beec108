"""What exams that were held before say of noise: the endpoint of entries that shared their seeds.

A price has to tell the smallest effect before a store has held an exam of its own. The calibration
knows no sealed task, so what exams elsewhere have measured ships with palmette: numbers alone, with
no genome beside them, since nothing that searches may learn what does well in an exam.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources

from palmette.exam.results import sat
from palmette.records import ExamPlan, ExamRung, Finite, Record, StoredTrial

FILE = ("data", "exams.json")


class HeldExam(Record):
    """The last rung of an exam, and the endpoint there: a row an entry, a column a shared seed."""

    where: str  # its export is kept
    rung: ExamRung
    rows: tuple[tuple[Finite, ...], ...]


def held_exams() -> tuple[HeldExam, ...]:
    """What ships, the newest last."""
    place = resources.files("palmette").joinpath(*FILE)
    if not place.is_file():
        return ()
    return tuple(HeldExam.model_validate(one) for one in json.loads(place.read_text("utf-8")))


def rows_of(plan: ExamPlan, trials: Iterable[StoredTrial]) -> tuple[tuple[float, ...], ...]:
    """The endpoint on the last rung: entries that share their seeds, by the first look's seeds.

    A tuned baseline that turned out to be the default has no trials of its own, and no row.
    """
    own = {(e.genome, e.stretch): e.label for e in reversed(plan.entries) if e.replica == 0}
    shared = set(own.values())
    least = plan.looks[0]
    return tuple(
        one.scores[:least]
        for one in sat(plan, list(trials))
        if one.rung == plan.rungs[-1].name and one.label in shared and len(one.seeds) >= least
    )


def alike(one: ExamRung, other: ExamRung) -> bool:
    """Whether two rungs are the same but for their number of seeds."""
    return one.model_copy(update={"seeds": other.seeds}) == other
