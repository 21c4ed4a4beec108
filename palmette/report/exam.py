"""An exam as a page, made of its record alone."""

from __future__ import annotations

from pathlib import Path

from palmette.records import Exam
from palmette.report import examined
from palmette.report.figures.canaries import canaries
from palmette.report.figures.carry import carry
from palmette.report.figures.contrasts import contrasts
from palmette.report.figures.held_out import held_out
from palmette.report.figures.nulls import nulls
from palmette.report.figures.sealed import sealed
from palmette.report.frame import framed, write_page


def render_exam(exam: Exam) -> str:
    """The whole page as text."""
    by_verdict = contrasts(exam)
    drawn = {
        "sealed": sealed(exam),
        "carry": carry(exam),
        "held_out": held_out(exam),
        "nulls": nulls(exam),
        "canaries": canaries(exam),
    }
    failed = [row for row in exam.canary if not row.passed]
    return framed(
        "exam.html",
        [made for made in (*by_verdict, *drawn.values()) if made],
        exam=exam,
        plan=exam.plan,
        last=exam.plan.rungs[-1],
        headline=examined.headline(exam),
        lead=examined.lead(exam),
        verified=examined.verified(exam),
        verdicts=list(zip(exam.verdicts, by_verdict, strict=True)),
        standing=examined.standing,
        parted=examined.parted,
        looked=lambda verdict: examined.looked(verdict, exam.plan.looks),
        figures=drawn,
        seats=examined.seats(exam),
        placebos=examined.placebo_sentence(exam.placebo_rate),
        canary=examined.canary_sentence(exam),
        canary_failed=failed,
        checked=examined.checked(exam),
        rivals=sum(entry.role in ("baseline", "tuned") for entry in exam.plan.entries),
        candidates=sum(entry.role == "candidate" for entry in exam.plan.entries),
    )


def write_exam(exam: Exam, path: Path) -> Path:
    """Writes the page. Raises `StorageError` when the place cannot be written."""
    return write_page(render_exam(exam), path)
