"""How time and memory of a training step grow with length and with width, beside what is declared.

    python -m benchmarks.growth [--genomes NAME …] [--results FILE] [--table]

For each genome of the atlas and each form of its kernels: a step on about the same number of tokens
at lengths from 256 to 8192 and at widths from 32 to 512, its processor time, and the memory that it
had resident at most. The exponents are slopes of lines through the
logarithms, fitted over the upper two thirds of the range; the intervals are 95 %, by Student's t.

Declared is what the grammar says: `linear_time` is an exponent of 1 in the length, its absence one
of up to 2. By the closed form of `Primitive.cost` the exponent of the operations at the same points
stands beside the measured one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import linregress, t

from benchmarks.ratios.fresh import fresh
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model import atlas, cost
from palmette.ops._base import Place

RESULTS = Path("benchmarks/results/growth.json")
GENOMES = ("gated_deltanet", "mamba2", "rwkv7_core", "llama")
KERNELS = ("native", "torch")
LENGTHS = (256, 512, 1024, 2048, 4096, 8192)
WIDTHS = (32, 48, 64, 96, 128, 192, 256, 384, 512)
TOKENS = 8192  # a step at least, so that only the length of its sequences differs
WIDTH, LENGTH, WIDTHS_TOKENS, DEPTH, VOCABULARY = 64, 256, 2048, 2, 256
STEPS = 5


@dataclass(frozen=True)
class Exponent:
    """The slope of a logarithm over another, with its 95 % interval."""

    slope: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.slope:.2f} [{self.low:.2f}, {self.high:.2f}]"


def exponent(sizes: Sequence[float], values: Sequence[float]) -> Exponent:
    """The exponent p of values = c sizes^p.

    >>> str(exponent([1, 2, 4, 8], [3, 12, 48, 192]))
    '2.00 [2.00, 2.00]'
    """
    found = linregress([math.log(x) for x in sizes], [math.log(x) for x in values])
    half = float(t.ppf(0.975, len(sizes) - 2)) * found.stderr
    return Exponent(found.slope, found.slope - half, found.slope + half)


def upper(sizes: Sequence[int]) -> list[int]:
    """The upper two thirds of a range: at its lower end what does not grow weighs most."""
    return sorted(sizes)[len(sizes) // 3 :]


def measure(genome: str, kernel: str) -> list[dict[str, Any]]:
    """Seconds and bytes of a step at every length and every width, in one fresh process."""
    sizes = [("length", length, WIDTH, TOKENS) for length in LENGTHS]
    sizes += [("width", LENGTH, width, WIDTHS_TOKENS) for width in WIDTHS]
    points = [
        {
            "place": {
                "width": width,
                "depth": DEPTH,
                "hidden": 1.0,
                "vocabulary": VOCABULARY,
                "context": length,
            },
            "batch": max(1, tokens // length),
            "length": length,
        }
        for _, length, width, tokens in sizes
    ]
    told = fresh(
        "benchmarks.ratios.children:steps_of",
        {"genome": genome, "kernel": kernel, "points": points, "steps": STEPS},
    )
    return [
        {"genome": genome, "kernel": kernel, "axis": axis, "length": length, "width": width, **one}
        for (axis, length, width, _), one in zip(sizes, told["points"], strict=True)
    ]


def flops(genome: str, length: int, width: int) -> float:
    """Operations of a step's forward pass per token, by the closed form."""
    place = Place(width, DEPTH, 1.0, VOCABULARY, length)
    return cost(atlas.load(genome), place, length).flops_forward


def declared(genome: str) -> str:
    """What the grammar says of the genome's time in the length."""
    linear = Effect.LINEAR_TIME in effects(atlas.load(genome).root)
    return "linear" if linear else "quadratic"


def summaries(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each genome and kernel the exponents of time and memory in length and width.

    Steps of one sequence take as many tokens as it is long, so time is per token, and one is added
    to its exponent: that is the exponent of a sequence's time.
    """
    found = []
    for genome, kernel in dict.fromkeys((row["genome"], row["kernel"]) for row in rows):
        own = [row for row in rows if (row["genome"], row["kernel"]) == (genome, kernel)]
        for axis, sizes in (("length", LENGTHS), ("width", WIDTHS)):
            chosen = [row for row in own if row["axis"] == axis and row[axis] in upper(sizes)]
            if len(chosen) < 3:
                continue
            points = [row[axis] for row in chosen]
            more = 1.0 if axis == "length" else 0.0
            spans = {
                "time": [row["seconds"] / row["tokens"] * row[axis] ** more for row in chosen],
                "memory": [row["bytes"] / row["tokens"] * row[axis] ** more for row in chosen],
                "operations": [
                    flops(genome, row["length"], row["width"]) * row[axis] ** more for row in chosen
                ],
            }
            found.append(
                {"genome": genome, "kernel": kernel, "axis": axis, "declared": declared(genome)}
                | {name: vars(exponent(points, values)) for name, values in spans.items()}
            )
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The exponents as text."""
    lines = [
        f"{'genome':<16}{'kernel':<8}{'axis':<8}{'declared':<11}{'operations':<12}"
        f"{'time':<20}{'memory':<20}"
    ]
    for one in summaries(rows):
        time, memory = (Exponent(**one[name]) for name in ("time", "memory"))
        said = one["declared"] if one["axis"] == "length" else ""
        lines.append(
            f"{one['genome']:<16}{one['kernel']:<8}{one['axis']:<8}{said:<11}"
            f"{one['operations']['slope']:<12.2f}{time!s:<20}{memory!s:<20}"
        )
    return "\n".join(lines)


def main(given: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser("growth", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--genomes", nargs="+", default=GENOMES, choices=atlas.names())
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args(given)
    if options.table:
        print(table(json.loads(options.results.read_text("utf-8"))["points"]))
        return 0
    rows: list[dict[str, Any]] = []
    for genome in options.genomes:
        for kernel in KERNELS:
            rows += measure(genome, kernel)
        print(f"{genome} measured", flush=True)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    kept = {"points": rows, "exponents": summaries(rows)}
    options.results.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
