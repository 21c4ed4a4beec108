"""Draws how the time of a training step grows, from the file that `benchmarks.growth` writes.

python -m benchmarks.growth_picture docs/speed-growth.png --browser /usr/bin/chromium
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.growth import RESULTS
from benchmarks.picture import save
from palmette.report.figures.theme import Figure, Json, figure

COLOURS = ("@s1", "@s2", "@s3", "@s4")
DASHES = {"native": "solid", "torch": "dot"}


def drawn(rows: Sequence[dict[str, Any]]) -> Figure:
    """Microseconds a token against the length, a line for each genome and form of kernels."""
    traces: list[Json] = []
    for colour, genome in zip(COLOURS, dict.fromkeys(row["genome"] for row in rows), strict=False):
        for kernel, dash in DASHES.items():
            own = [
                row
                for row in rows
                if (row["genome"], row["kernel"], row["axis"]) == (genome, kernel, "length")
            ]
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": f"{genome}, {kernel}",
                    "x": [row["length"] for row in own],
                    "y": [1e6 * row["seconds"] / row["tokens"] for row in own],
                    "line": {"color": colour, "dash": dash, "width": 2},
                    "marker": {"color": colour, "size": 7},
                }
            )
    lengths = sorted({row["length"] for row in rows if row["axis"] == "length"})
    return figure(
        "growth",
        "Time of a training step by length",
        [trace for trace in traces if trace["x"]],
        420,
        xaxis={
            "title": {"text": "length of a sequence, tokens"},
            "type": "log",
            "tickvals": lengths,
            "ticktext": [str(length) for length in lengths],
        },
        yaxis={
            "title": {"text": "microseconds a token"},
            "type": "log",
            "tickvals": [1, 2, 5, 10, 20, 50, 100, 200, 500],
        },
    )


def main(given: list[str] | None = None) -> int:
    """Draws; returns the exit code."""
    parser = argparse.ArgumentParser("picture", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("picture", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--browser", help="an executable; playwright's own if not given")
    options = parser.parse_args(given)
    rows = json.loads(options.results.read_text("utf-8"))["points"]
    save({options.picture: drawn(rows)}, options.browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
