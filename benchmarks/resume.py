"""The same tree and the same bits, killed or not.

    python benchmarks/resume.py --budget 60genomes --kills 2 --directory resume-benchmark

Grows one campaign without a break and, beside it, one that is killed (SIGKILL) at random moments
and started again with the same command. Both have one worker, pinned to a core of its own. Then
every candidate, edge, trial, metric and weight file of the two stores is compared, bit for bit, and
no process may be left over.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil

from palmette.store import Store

MEASURED = {"cpu_seconds", "wall_seconds", "phases", "peak_bytes", "weights", "commit"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="60genomes")
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--after", type=float, default=120.0, help="seconds to a kill, at most")
    parser.add_argument("--directory", type=Path, required=True)
    given = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    whole = start(given, "whole", cores[0])
    rng = random.Random(given.seed)
    for kill in range(given.kills):
        broken = start(given, "broken", cores[-1])
        wait = rng.uniform(0.3, 1.0) * given.after
        time.sleep(wait)
        children = psutil.Process(broken.pid).children(recursive=True)
        broken.kill()
        broken.wait()
        _, alive = psutil.wait_procs(children, timeout=5)
        print(
            f"kill {kill + 1} after {wait:.0f} s: {len(children)} children, {len(alive)} left over"
        )
        if alive:
            sys.exit("orphans are still running")
    broken = start(given, "broken", cores[-1])
    codes = (broken.wait(), whole.wait())
    if codes != (0, 0):
        sys.exit(f"grow failed: exit codes {codes}")
    differences = compare(read(given, "whole"), read(given, "broken"))
    print("\n".join(differences) or "the two campaigns are the same, bit for bit")
    sys.exit(1 if differences else 0)


def start(given: argparse.Namespace, name: str, core: int) -> subprocess.Popen[bytes]:
    directory = given.directory / name
    directory.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "palmette", "grow", "--budget", given.budget]
    command += ["--no-pack"]  # or each campaign measures for itself whether packs pay
    command += ["--workers", "1", "--seed", str(given.seed), "--scale", given.scale]
    command += ["--storage", url(given, name), "--output", str(directory)]
    with (directory / "grow.txt").open("a") as log:
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )


def url(given: argparse.Namespace, name: str) -> str:
    return f"sqlite:///{given.directory / name / 'palmette.db'}"


def read(given: argparse.Namespace, name: str) -> dict[str, str]:
    """Every fact of a campaign that may not depend on when it ran, by a readable name."""
    facts = {}
    with Store(url(given, name), create=False) as store:
        campaign = store.latest()
        for number, candidate in enumerate(campaign.candidates()):
            facts[f"candidate {number}"] = candidate.model_dump_json()
        for trial in campaign.trials():
            facts[f"trial {trial.trial} spec"] = trial.spec.model_dump_json()
            facts[f"trial {trial.trial} state"] = trial.state
            if trial.result is not None:
                result = trial.result.model_dump(mode="json", exclude=MEASURED)
                for point in result["curve"]:
                    del point["seconds"]
                facts[f"trial {trial.trial} result"] = repr(result)
            weights = campaign.weights_directory / f"{trial.key}.pt"
            if weights.exists():
                digest = hashlib.sha256(weights.read_bytes()).hexdigest()
                facts[f"trial {trial.trial} weights"] = digest
    return facts


def compare(a: dict[str, str], b: dict[str, str]) -> list[str]:
    kinds = {name.rpartition(" ")[0].partition(" ")[0] for name in a}
    print(f"compared {len(a)} and {len(b)} facts about {', '.join(sorted(kinds))}s")
    return [
        f"{name}: {a.get(name)} against {b.get(name)}"
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]


if __name__ == "__main__":
    main()
