"""The page of a campaign: all its sections, figures and tables."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import fmean

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from palmette.records import StoredTrial
from palmette.report import examined, figures, summaries, verdict, who
from palmette.report.data import ReportData
from palmette.report.figures.theme import Figure
from palmette.report.frame import framed, write_page


def render(data: ReportData) -> str:
    """The whole page as text."""
    drawn: dict[str, Figure | None] = {
        "tree": figures.tree(data),
        "progress": figures.progress(data),
        "leaderboard": figures.leaderboard(data),
        "predictions": figures.predictions(data),
        "proposers": figures.proposers(data),
        "curves": figures.curves(data),
    }
    rates = figures.rates(data)
    shown = [made for made in (*drawn.values(), *rates) if made]
    outcomes = [held for held in summaries.outcomes(data.tree) if held.prediction]
    trial = _last_trial(data)
    return framed(
        "page.html",
        shown,
        data=data,
        figures=drawn,
        standing=examined.standing,
        parted=examined.parted,
        looked_like=examined.looked_like(data.status.placebo_rate),
        exam_placebos=examined.placebo_sentence(data.exam_placebos),
        verified=sum(verdict.verified for verdict in data.verdicts),
        rates=rates,
        code_light=_code_style("friendly"),
        code_dark=_code_style("github-dark"),
        found=sum(row.role == "found" for row in data.tree),
        scored=sum(row.role == "found" and row.score is not None for row in data.tree),
        worker_seconds=summaries.worker_seconds(data.trials),
        bars=verdict.bars(data),
        summary=verdict.summary(data),
        board=data.best,
        who=who.proposed(data),
        edits=summaries.edits(data.tree, summaries.failed(data.trials)),
        predicted=len(outcomes),
        held=sum(bool(held.held) for held in outcomes),
        built=trial.result if trial else None,
        tasks=sorted(trial.result.metrics.items()) if trial and trial.result else [],
        tasks_seed=trial.spec.seed if trial else None,
        ancestry=summaries.ancestry(data.tree, data.top.genome) if data.top else (),
        source=_highlighted(data.winner_source) if data.winner_source else None,
        source_lines=len((data.winner_source or "").splitlines()),
        rungs=summaries.rungs(data.trials),
        machines=summaries.machines(data.trials),
        failures=summaries.failures(data.trials),
        failed_trials=sum(held.state == "failed" for held in data.trials),
        lost=summaries.lost_attempts(data.trials),
    )  # fmt: skip


def write(data: ReportData, path: Path) -> Path:
    """Writes the page. Raises `StorageError` when the place cannot be written."""
    return write_page(render(data), path)


def _highlighted(source: str) -> Markup:
    formatter: HtmlFormatter[str] = HtmlFormatter(cssclass="code", wrapcode=True)
    return Markup(highlight(source, PythonLexer(), formatter))


def _code_style(style: str) -> Markup:
    formatter: HtmlFormatter[str] = HtmlFormatter(style=style)
    return Markup(formatter.get_style_defs(".code"))  # type: ignore[no-untyped-call]


def _last_trial(data: ReportData) -> StoredTrial | None:
    """The top candidate's trial at the rung of its estimate: its best rate, its lowest seed."""
    if data.top is None:
        return None
    held = [
        trial
        for trial in data.trials
        if trial.result
        and trial.spec.genome == data.top.genome
        and trial.spec.replica == 0
        and trial.spec.rung == data.top.rung
        and trial.trial in data.scores
    ]
    by_rate: dict[float, list[float]] = defaultdict(list)
    for trial in held:
        by_rate[trial.spec.learning_rate].append(data.scores[trial.trial])
    return min(
        held,
        key=lambda trial: (-fmean(by_rate[trial.spec.learning_rate]), trial.spec.seed),
        default=None,
    )
