"""What the figures share: results as lines of a file, the endpoint, intervals."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from scipy.stats import binomtest

RESULTS = Path("benchmarks/results")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a results file; none if there is no such file yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def append(path: Path, row: dict[str, Any]) -> None:
    """One more row, on the disk before the next is measured."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def share(count: int, total: int) -> str:
    """A share in per cent with Wilson's 95 % interval."""
    low, high = binomtest(count, total).proportion_ci(method="wilson")
    return f"{100 * count / total:5.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def spread(values: Sequence[float]) -> str:
    """The median and the range from the tenth to the ninetieth of a hundred."""
    if len(values) < 2:
        return f"{values[0]:,.0f}" if values else "none"
    tenths = quantiles(values, n=10, method="inclusive")
    return f"{median(values):,.0f} ({tenths[0]:,.0f} to {tenths[-1]:,.0f})"


def add_options(parser: argparse.ArgumentParser, results: str) -> None:
    """The options that every figure has."""
    parser.add_argument("--model", help="of those that the endpoint serves, if there are several")
    parser.add_argument("--results", type=Path, default=RESULTS / results)
    parser.add_argument("--table", action="store_true", help="run nothing")


def quartiles(values: Sequence[float]) -> str:
    """The median with the quartiles."""
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return f"{middle:.1f} ({low:.1f}, {high:.1f})"
