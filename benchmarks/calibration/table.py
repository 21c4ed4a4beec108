"""The shards as one compact table: `palmette/data/calibration/pocket.json.gz`.

The same shards give the same bytes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.calibration import proxies
from benchmarks.calibration.running import FOLDER, Row, rows
from benchmarks.calibration.stages import Stage
from palmette.grammar.genome import Genome
from palmette.ladder.calibration import FIGURES, FORMAT
from palmette.train.seeding import NUMERICS

FILE = Path("palmette/data/calibration/pocket.json.gz")
STEP = 512  # tokens
EARLY, WINDOW = 100, 25  # steps: the loss of the steps from 75 to 100 stands for a 100-step run
EIGHTHS = 8


def packed(
    stages: Sequence[Stage], genomes: Sequence[tuple[str, Genome]], folder: Path = FOLDER
) -> bytes:
    """The table's file. `genomes` are pairs of an origin and a genome; stages without any trial
    are left out.
    """
    untrained = proxies.means(folder / proxies.FILE.name)
    place = {genome.hash: number for number, (_, genome) in enumerate(genomes)}
    made = []
    for stage in stages:
        found = [row for row in rows(stage, folder) if row["genome"] in place]
        if found:
            made.append(_stage(stage, found, place))
    table = {
        "format": FORMAT,
        "numerics": NUMERICS,
        "genomes": [
            {
                "hash": genome.hash,
                "origin": origin,
                "expression": genome.text,
                "proxies": {
                    name: float(f"{value:.6g}")
                    for name, value in untrained.get(genome.hash, {}).items()
                },
            }
            for origin, genome in genomes
        ],
        "stages": made,
    }
    text = json.dumps(table, separators=(",", ":"))
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)


def early_loss(curve: Sequence[Sequence[float]]) -> float | None:
    """The mean loss in nats of the steps `EARLY - WINDOW` to `EARLY`.

    None if the curve ends before that, or has no point there.

    >>> early_loss([[512 * 50, 3.0], [512 * 90, 2.0], [512 * 200, 1.0]])
    2.0
    """
    if curve[-1][0] < EARLY * STEP:
        return None
    window = [loss for at, loss in curve if (EARLY - WINDOW) * STEP < at <= EARLY * STEP]
    return round(float(np.mean(window)), 4) if window else None


def _stage(stage: Stage, found: Sequence[Row], place: Mapping[str, int]) -> dict[str, Any]:
    done = [row for row in found if row["state"] == "done"]
    chance = {name: task["chance"] for row in done[:1] for name, task in row["tasks"].items()}
    by_genome: dict[str, list[Row]] = {}
    for row in found:
        by_genome.setdefault(row["genome"], []).append(row)
    seeds = _in_order_of_use(found)
    return {
        "name": stage.name,
        "suite": stage.suite,
        "rung": stage.rung.name,
        "parameters": stage.rung.parameters,
        "tokens": stage.rung.tokens,
        "seeds": stage.seeds,
        "chance": chance,
        "courses": [
            _course(place[genome], by_genome[genome], seeds, tuple(chance))
            for genome in sorted(by_genome, key=lambda genome: place[genome])
        ],
    }


def _in_order_of_use(found: Sequence[Row]) -> list[int]:
    """The seeds, the sweep's first: it has more trials of every genome than the others."""
    counts: dict[int, int] = {}
    for row in found:
        counts[row["seed"]] = counts.get(row["seed"], 0) + 1
    return sorted(counts, key=lambda seed: -counts[seed])


def _course(
    genome: int, own: Sequence[Row], seeds: Sequence[int], tasks: Sequence[str]
) -> dict[str, Any]:
    done = [row for row in own if row["state"] == "done"]
    failed = [row for row in own if row["state"] != "done"]
    figures = [done[0][name] for name in FIGURES] if done else None
    return {
        "genome": genome,
        "figures": figures,
        "failed": sorted({row["rate"] for row in failed}),
        "reason": failed[0]["reason"] if failed else None,
        "trials": [
            [
                row["rate"],
                seeds.index(row["seed"]),
                *(
                    [round(row["tasks"][task][kind], 5) for task in tasks]
                    for kind in ("select", "score", "accuracy")
                ),
                early_loss(row["curve"]),
                _eighths([loss for _, loss in row["curve"]]),
                round(row["cpu"], 2),
            ]
            for row in sorted(done, key=lambda row: (seeds.index(row["seed"]), row["rate"]))
        ],
    }


def _eighths(losses: Sequence[float]) -> list[float]:
    return [round(float(np.mean(part)), 3) for part in np.array_split(losses, EIGHTHS)]
