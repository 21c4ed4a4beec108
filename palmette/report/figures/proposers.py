"""Best so far by proposer, each over its own genomes, beside what luck alone would reach."""

from __future__ import annotations

from palmette.report.data import ReportData
from palmette.report.figures.theme import Figure, Json, escaped, figure, lines, short

DASHES = ("solid", "dash", "dashdot", "longdash", "dot", "longdashdot")


def proposers(data: ReportData) -> Figure | None:
    """The best first-rung score of each proposer over its scored genomes; None without two.

    The band is the best of as many draws of seed noise, as in the figure of the whole search.
    """
    seen = [*data.config.proposers, *(row.proposer for row in data.tree if row.proposer)]
    found = [name for name in dict.fromkeys(seen) if _scored(data, name)]
    if len(found) < 2:
        return None
    most = max(len(_scored(data, name)) for name in found)
    traces = [*_luck(data, most), *(_line(data, name, n) for n, name in enumerate(found))]
    return figure(
        "proposers",
        f"Best first-rung score by proposer: {', '.join(escaped(name) for name in found)}",
        traces,
        380,
        xaxis={"title": {"text": "scored genomes of its own"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "score, first rung"}, "tickformat": ".3f"},
        hovermode="closest",
        legend={"traceorder": "normal"},
    )


def _scored(data: ReportData, name: str) -> list[tuple[str, float]]:
    """A proposer's genomes with a score, in the order in which they were proposed."""
    return [
        (row.genome, row.score)
        for row in data.tree
        if row.proposer == name and row.role == "found" and row.score is not None
    ]


def _luck(data: ReportData, most: int) -> list[Json]:
    points = [at for at in data.progress if at.genomes <= most]
    if not points:
        return []
    common: Json = {
        "type": "scatter",
        "mode": "lines",
        "x": [at.genomes for at in points],
        "hoverinfo": "skip",
    }
    return [
        {
            **common,
            "y": [at.noise_low for at in points],
            "line": {"width": 0},
            "showlegend": False,
        },
        {
            **common,
            "y": [at.noise_high for at in points],
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": "@band",
            "name": "best of n noise draws, 95 %",
        },
    ]


def _line(data: ReportData, name: str, number: int) -> Json:
    scored = _scored(data, name)
    best = [max(score for _, score in scored[: n + 1]) for n in range(len(scored))]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escaped(name),
        "x": list(range(1, len(scored) + 1)),
        "y": best,
        "line": {
            "color": f"@s{number % 6 + 1}",
            "width": 2.4,
            "shape": "hv",
            "dash": DASHES[number % len(DASHES)],
        },
        "text": [
            lines(
                [
                    f"<b>{escaped(name)}</b>, genome {n} of its own: {short(genome)}",
                    f"score {score:.4f}, best so far {top:.4f}",
                ]
            )
            for n, ((genome, score), top) in enumerate(zip(scored, best, strict=True), start=1)
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
