"""Best so far against compute, beside what the best of as many draws of pure luck would reach."""

from __future__ import annotations

from palmette.report.data import ReportData
from palmette.report.figures.theme import Figure, Json, figure


def progress(data: ReportData) -> Figure | None:
    """The search's best first-rung score over worker seconds; None before the first score."""
    points = data.progress
    if not points:
        return None
    seconds = [at.worker_seconds for at in points]
    traces: list[Json] = [
        {"y": [at.noise_low for at in points], "line": {"width": 0}, "showlegend": False},
        {
            "y": [at.noise_high for at in points],
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": "@band",
            "name": "best of n noise draws, 95 %",
        },
        {
            "y": [at.noise_mid for at in points],
            "line": {"color": "@soft", "width": 1.4, "dash": "dot"},
            "name": "its median",
        },
    ]
    traces = [
        {"type": "scatter", "mode": "lines", "x": seconds, "hoverinfo": "skip", **trace}
        for trace in traces
    ]
    traces.append(
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": seconds,
            "y": [at.best_so_far for at in points],
            "line": {"color": "@accent", "width": 2.8, "shape": "hv"},
            "customdata": [
                [at.genomes, at.noise_low, at.noise_mid, at.noise_high] for at in points
            ],
            "hovertemplate": "<b>%{y:.4f}</b> after %{x:,.0f} worker seconds, "
            "%{customdata[0]} genomes<br>noise alone: %{customdata[2]:.4f} "
            "[%{customdata[1]:.4f}, %{customdata[3]:.4f}]<extra></extra>",
        }
    )
    return figure(
        "progress",
        f"Best first-rung score rises to {points[-1].best_so_far:.4f} in {seconds[-1]:.0f} "
        "worker seconds",
        traces,
        380,
        xaxis={"title": {"text": "worker seconds"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "score, first rung"}, "tickformat": ".3f"},
        hovermode="x",
    )
