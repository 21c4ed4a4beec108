"""Pictures of the figures, in the report's style, made by a real browser.

python -m benchmarks.designers pictures docs/ --browser /usr/bin/chromium
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from benchmarks.designers import control, steps, validity
from benchmarks.designers.shared import RESULTS, read
from benchmarks.picture import save
from palmette.report.figures.theme import Figure, Json, figure


def validity_drawn(rows: list[dict[str, Any]]) -> Figure:
    """The share of valid proposals by form, with Wilson's intervals."""
    names = [name for name in validity.FORMS if any(row["form"] == name for row in rows)]
    traces: list[Json] = []
    for key, told, colour, lower in (
        ("first", "at the first answer", "@s2", -0.13),
        ("valid", "within the same tokens", "@accent", 0.13),
    ):
        counts = [[row[key] for row in rows if row["form"] == name] for name in names]
        middle = [100 * sum(own) / len(own) for own in counts]
        ends = [binomtest(sum(own), len(own)).proportion_ci(method="wilson") for own in counts]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": told,
                "x": middle,
                "y": [place + lower for place in range(len(names))],
                "marker": {"color": colour, "size": 11},
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [100 * end.high - at for end, at in zip(ends, middle, strict=True)],
                    "arrayminus": [
                        at - 100 * end.low for end, at in zip(ends, middle, strict=True)
                    ],
                    "color": colour,
                },
            }
        )
    return figure(
        "validity",
        "Valid proposals by form",
        traces,
        300,
        xaxis={"title": {"text": "valid proposals, %"}, "range": [-3, 103]},
        yaxis={
            "range": [len(names) - 0.5, -0.5],
            "tickvals": list(range(len(names))),
            "ticktext": [SAID[name] for name in names],
            "showgrid": False,
            "zeroline": False,
        },
    )


SAID = {
    "code": "PyTorch code",
    "text": "text of the language",
    "constrained": "edit under a schema",
    "repaired": "edit under a schema, told its faults",
    "code-told": "PyTorch code, told its faults",
    "text-told": "text, told its faults",
    "JSON-told": "edit without a schema, told its faults",
}


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser("pictures", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the rows")
    parser.add_argument("--browser", help="an executable; playwright's own if not given")
    options = parser.parse_args(given)
    drawings = {
        "validity": validity_drawn,
        "steps": steps.drawn,
        "control": control.drawn,
    }
    told = {name: read(options.results / f"designers_{name}.jsonl") for name in drawings}
    made = {
        options.directory / f"designers-{name}.png": draw(told[name])
        for name, draw in drawings.items()
        if told[name]
    }
    save(made, options.browser)
    return 0
