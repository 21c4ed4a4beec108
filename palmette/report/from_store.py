"""From a stored campaign to the data of its report."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from palmette.exam.placebos import placebo_rate
from palmette.explain.diagram import svg
from palmette.ladder.ranking import best_rows, noise_at, tree_rows
from palmette.ladder.results import Ascent, ascents, fitness, score_at
from palmette.ladder.scales import Scale
from palmette.ladder.scales import scale as scale_named
from palmette.ladder.statistics import best_of
from palmette.model import fit, parse
from palmette.model.export import source
from palmette.records import BestRow, StoredTrial
from palmette.report.data import ProgressPoint, ReportData, separate_differences
from palmette.report.page import write
from palmette.search.status import status_row
from palmette.search.winner import trained
from palmette.store import Campaign, Store
from palmette.store.exams import ExamRoom
from palmette.tasks import VOCABULARY, suite

FIRST = 0  # the rung on which progress is drawn: the one that every genome runs


def write_report(campaign: Campaign, path: Path, store: Store | None = None) -> Path:
    """Writes the page of a campaign, however far it has come, with its exams if `store` is given.

    Raises `StorageError` when the place cannot be written.
    """
    return write(report_data(campaign, store), path)


def report_data(campaign: Campaign, store: Store | None = None) -> ReportData:
    """Everything that the page shows; of exams only what the store that is given holds."""
    room = ExamRoom(store) if store else None
    scale = scale_named(campaign.config.scale)
    candidates, trials = campaign.candidates(), campaign.trials()
    climbers = ascents(candidates, trials, scale)
    best = best_rows(candidates, trials, scale)
    top = next((row for row in best if row.role == "found"), None)
    last = scale.number(top.rung) if top else FIRST
    noise = noise_at(climbers, last, scale)
    differences = separate_differences(best, paired=scale.rungs[last].seeds > 1)
    data = ReportData(
        config=campaign.config,
        status=status_row(campaign, scale),
        best=best,
        tree=tree_rows(candidates, trials, scale),
        trials=trials,
        candidates=candidates,
        events=campaign.events(),
        thoughts=campaign.thoughts(),
        scores=_scores(trials, scale),
        noise=noise,
        first_noise=noise_at(climbers, FIRST, scale),
        differences=differences,
        progress=progress(climbers, trials, scale),
        exams=room.exams(campaign) if room else (),
        exam_placebos=placebo_rate(room.exams()) if room else None,
    )
    return _with_winner(data, campaign, top, scale) if top else data


def progress(
    climbers: Sequence[Ascent], trials: Sequence[StoredTrial], scale: Scale
) -> list[ProgressPoint]:
    """The best first-rung score so far after each found genome, beside the best of pure noise.

    Noise is drawn around the mean of the root and its placebos; without a placebo there is none to
    compare with, and the list is empty.
    """
    noise = noise_at(climbers, FIRST, scale)
    same = [
        score.mean
        for climber in climbers
        if climber.candidate.role in ("root", "placebo")
        and (score := score_at(climber, FIRST, scale))
    ]
    if noise is None:
        return []
    ended = sorted((t for t in trials if t.result), key=lambda t: t.ended_seconds or 0.0)
    spent = {t.trial: 0.0 for t in ended}
    total = 0.0
    for trial in ended:
        total += trial.result.wall_seconds if trial.result else 0.0
        spent[trial.trial] = total
    swept = sorted(
        (max(spent[t.trial] for t in climber.at(FIRST) if t.result), score.mean)
        for climber in climbers
        if climber.candidate.role == "found" and (score := score_at(climber, FIRST, scale))
    )
    points = []
    best = -math.inf
    for number, (seconds, value) in enumerate(swept, start=1):
        best = max(best, value)
        band = best_of(number, sum(same) / len(same), noise)
        points.append(ProgressPoint(seconds, number, best, band.low, band.value, band.high))
    return points


def _scores(trials: Sequence[StoredTrial], scale: Scale) -> dict[int, float]:
    return {
        trial.trial: fitness(trial.result.metrics, scale.rungs[scale.number(trial.spec.rung)])
        for trial in trials
        if trial.result is not None
    }


def _with_winner(data: ReportData, campaign: Campaign, top: BestRow, scale: Scale) -> ReportData:
    """The data with the winner's drawing and source, at the size at which it ranks."""
    genome = parse(top.expression)
    rung = scale.rungs[scale.number(top.rung)]
    context = suite(campaign.config.suite).context(rung.length)
    place = fit(genome, rung.parameters, VOCABULARY, context).place
    weights = "best.pt" if trained(campaign, genome.hash) else "its weights"
    return replace(
        data,
        winner_genome=genome.text,
        winner_source=source(genome, place, weights, {"campaign": campaign.config.name}),
        winner_diagram=svg(genome, place),
    )
