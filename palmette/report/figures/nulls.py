"""What exams find where there is nothing to find, beside what this one has found."""

from __future__ import annotations

import math
from collections import Counter

from palmette.records import Exam
from palmette.report.examined import claimed
from palmette.report.figures.theme import Figure, Json, escaped, figure

BINS = 5  # a power of ten
SMALLEST = 1e-10


def nulls(exam: Exam) -> Figure | None:
    """The smallest p of each resampled exam, with those that were observed; None without them."""
    if exam.nulls is None or not exam.nulls.p:
        return None
    counts = Counter(math.floor(_place(p) * BINS) for p in exam.nulls.p)
    observed = [(one.hypothesis, one.p) for one in exam.verdicts if one.p is not None]
    last = max([*counts, *(math.floor(_place(p) * BINS) for _, p in observed)]) + 1
    reach = max(math.ceil(last / BINS), math.ceil(_place(exam.nulls.alpha)))
    bars: Json = {
        "type": "bar",
        "name": f"{exam.nulls.exams:,} exams without a better design",
        "x": [(number + 0.5) / BINS for number in sorted(counts)],
        "y": [counts[number] for number in sorted(counts)],
        "width": 0.94 / BINS,
        "marker": {"color": "@line"},
        "customdata": [
            [10 ** -((number + 1) / BINS), 10 ** -(number / BINS)] for number in sorted(counts)
        ],
        "hovertemplate": "%{y} exams, p from %{customdata[0]:.2g} to %{customdata[1]:.2g}"
        "<extra></extra>",
    }
    top = max(counts.values())
    dots: Json = {
        "type": "scatter",
        "mode": "markers",
        "name": "observed",
        "x": [_place(p) for _, p in observed],
        "y": [top * (0.16 + 0.14 * n) for n in range(len(observed))],
        "marker": {"size": 12, "color": "@accent", "symbol": "diamond"},
        "text": [
            f"<b>{escaped(claimed(asked))}</b>: p {p:.2g}, alpha {asked.alpha:.2g}"
            for asked, p in observed
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
    return figure(
        "nulls",
        f"Smallest p of {exam.nulls.exams} resampled exams and of {len(observed)} verdicts",
        [bars, dots],
        340,
        margin={"t": 40},
        xaxis={
            "title": {"text": "smallest p of an exam; dotted: the alpha they were judged by"},
            "tickvals": list(range(reach + 1)),
            "ticktext": ["1", *(f"10<sup>−{power}</sup>" for power in range(1, reach + 1))],
            "range": [-0.04 * reach, reach],
            "zeroline": False,
        },
        yaxis={"title": {"text": "exams"}, "rangemode": "tozero"},
        shapes=[
            {
                "type": "line",
                "x0": _place(exam.nulls.alpha),
                "x1": _place(exam.nulls.alpha),
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": "@failed", "width": 1.6, "dash": "dot"},
            }
        ],
        hovermode="closest",
    )


def _place(p: float) -> float:
    return -math.log10(min(1.0, max(p, SMALLEST)))
