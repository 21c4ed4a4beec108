"""The figures of one real `palmette grow`: genomes, rungs, time, busy cores, overhead, memory.

    python benchmarks/grow.py --budget 10m --workers 2 --directory grown-benchmark

Starts the command as a user would, samples the memory of its whole process tree, and reads the rest
from the store that it leaves behind. Absolute times are this machine's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil

from palmette.ladder.results import ascents, score_at
from palmette.ladder.scales import scale as scale_named
from palmette.records import StoredTrial
from palmette.store import Store

TRAINING = ("forward", "backward", "step", "optimizer", "evaluation")  # a pack's step is both
GIB = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="10m")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path, required=True)
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{given.directory / 'palmette.db'}"
    command = [sys.executable, "-m", "palmette", "grow", "--budget", given.budget]
    command += ["--workers", str(given.workers), "--scale", given.scale, "--seed", str(given.seed)]
    command += ["--storage", url, "--output", str(given.directory)]
    began = time.monotonic()
    with (given.directory / "grow.txt").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        resident, proportional = watch(process)
    figures = {
        "command": " ".join(command[1:]),
        "exit_code": process.returncode,
        "wall_minutes": (time.monotonic() - began) / 60,
        "peak_resident_gib": resident / GIB,
        "peak_proportional_gib": proportional / GIB,
    }
    with Store(url, create=False) as store:
        campaign = store.latest()
        figures |= from_store(campaign.candidates(), campaign.trials(), given.scale, given.workers)
    (given.directory / "figures.json").write_text(json.dumps(figures, indent=2))
    print(json.dumps(figures, indent=2))


def watch(process: subprocess.Popen[bytes]) -> tuple[int, int]:
    """The highest sums over the process tree of resident and of proportional memory, in bytes.

    Resident memory counts pages that the workers share with their server once for each of them;
    proportional memory counts them once.
    """
    resident = proportional = 0
    root = psutil.Process(process.pid)
    while process.poll() is None:
        sums = [0, 0]
        for one in (root, *root.children(recursive=True)):
            try:
                memory = one.memory_full_info()
            except psutil.Error:
                continue
            sums[0] += memory.rss
            sums[1] += memory.pss
        resident, proportional = max(resident, sums[0]), max(proportional, sums[1])
        time.sleep(0.5)
    return resident, proportional


def from_store(candidates, trials: list[StoredTrial], scale_name: str, workers: int) -> dict:
    """What the finished trials say."""
    scale = scale_named(scale_name)
    climbers = ascents(candidates, trials, scale)
    reached: dict[str, dict[str, int]] = defaultdict(dict)
    for rung, recipe in enumerate(scale.rungs):
        for role in ("found", "placebo", "baseline", "root"):
            ended = [c for c in climbers if c.candidate.role == role and score_at(c, rung, scale)]
            reached[f"rung {recipe.name}"][role] = len(ended)
    # The first trials wait for the fork server to import everything, once a campaign.
    done = [t for t in trials if t.result is not None and t.started_seconds is not None]
    began = min(t.started_seconds for t in done)
    span = max(t.ended_seconds for t in done) - began
    later = sorted(done, key=lambda t: t.started_seconds)[workers:]
    held = sum(map(seconds, done))
    cpu = sum(t.result.cpu_seconds for t in done)
    return {
        "candidates_with_a_score": reached,
        "trials": {s: sum(t.state == s for t in trials) for s in ("done", "failed", "queued")},
        "first_to_last_trial_minutes": span / 60,
        "workers_held_share": held / (workers * span),
        "workers_cpu_share": cpu / (workers * span),
        "overhead_share": {
            "trials of 5 s and more": overhead([t for t in later if seconds(t) >= 5]),
            "trials below 5 s": overhead([t for t in later if seconds(t) < 5]),
            "all, the start of the fork server included": overhead(done),
        },
        "seconds_a_trial": {
            recipe.name: spread([seconds(t) for t in done if t.spec.rung == recipe.name])
            for recipe in scale.rungs
        },
    }


def seconds(trial: StoredTrial) -> float:
    """From submission to the report, as the scheduler saw it; of a pack its share."""
    return (trial.ended_seconds - trial.started_seconds) / trial.result.members


def overhead(trials: list[StoredTrial]) -> float | None:
    """The share of worker seconds outside forward, backward, optimizer and evaluation."""
    if not trials:
        return None
    inside = sum(trial.result.phases.get(phase, 0.0) for trial in trials for phase in TRAINING)
    return 1 - inside / sum(map(seconds, trials))


def spread(values: list[float]) -> dict[str, float] | None:
    ordered = sorted(values)
    if not ordered:
        return None
    return {
        "trials": len(ordered),
        "lowest": ordered[0],
        "median": ordered[len(ordered) // 2],
        "highest": ordered[-1],
    }


if __name__ == "__main__":
    main()
