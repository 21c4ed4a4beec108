"""A study of designers as a page, made of its record alone."""

from __future__ import annotations

from pathlib import Path

from palmette.records import Study
from palmette.report.columns import study_columns
from palmette.report.conclusion import concluded
from palmette.report.figures.courses import courses
from palmette.report.forest import forest
from palmette.report.frame import framed, write_page
from palmette.report.numbers import change, decimals

IN_TABLE = ("arm", "genomes", "declined", "valid", "hits", "rating", "tokens", "usd")


def render_study(study: Study) -> str:
    """The whole page as text."""
    drawn = courses(study)
    own = [arm for arm in study.arms if arm.arm != study.reference]
    paying = [arm for arm in own if arm.tokens]
    plots = {
        "against": (own, [arm.against for arm in own]),
        "gain": (study.arms, [arm.gain for arm in study.arms]),
        "per_1000_tokens": (paying, [arm.per_1000_tokens for arm in paying]),
        "per_usd": (paying, [arm.per_usd for arm in paying]),
    }
    table = {column.name: column for column in study_columns(study)}
    return framed(
        "study.html",
        drawn,
        study=study,
        told=concluded(study),
        drawn=drawn,
        forests={
            name: {
                "arms": arms,
                "plot": forest(spans),
                "texts": [change(span, decimals(spans)) for span in spans],
            }
            for name, (arms, spans) in plots.items()
        },
        paying=paying,
        table=[table[name] for name in IN_TABLE],
    )


def write_study(study: Study, path: Path) -> Path:
    """Writes the page. Raises `StorageError` when the place cannot be written."""
    return write_page(render_study(study), path)
