"""How often an exam called something better that is not: placebos over all exams of a store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from palmette.ladder.rate import rate
from palmette.records import Rate, StoredExam


def placebo_rate(exams: Iterable[StoredExam]) -> Rate | None:
    """How many placebos of all finished exams were verified; None if none has sat.

    A placebo is one case, in however many leagues it competed: what becomes of it there is no
    independent matter.
    """
    verified: dict[tuple[int, str], bool] = defaultdict(bool)
    for exam in exams:
        if exam.state == "finished":
            for verdict in exam.placebos:
                verified[exam.number, verdict.hypothesis.candidate] |= verdict.verified
    return rate(sum(verified.values()), len(verified))
