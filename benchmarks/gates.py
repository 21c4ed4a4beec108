"""Do the gates raise false alarms? The whole atlas and sampled genomes go through all of them.

    python benchmarks/gates.py --count 1000 --processes 2 --output gates.jsonl

Prints seconds per subject, a table of failures by gate and an example of each; every verdict is a
line of the output file, and a subject that has its line there is not checked again, so a run can be
interrupted and gone on with. The exit code is 1 if anything failed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SLOW = 10.0  # seconds, that one check may take on one core
SAMPLED = {"width": 24, "depth": 1}  # of sampled genomes; the atlas has the usual size of a check


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=1000, help="sampled genomes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--without-atlas", action="store_true")
    parser.add_argument("--gate", action="append", help="only this gate; can be given again")
    parser.add_argument("--output", type=Path, help="a file of JSON lines, gone on with")
    given = parser.parse_args()

    wanted = list(subjects(given.count, given.seed, not given.without_atlas))
    done = read(given.output)
    missing = [(name, text, given.gate) for name, text in wanted if text not in done]
    print(
        f"{len(wanted):,} subjects, {len(wanted) - len(missing):,} of them done before", flush=True
    )
    began = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(given.processes, maxtasksperchild=25) as pool:
        for number, row in enumerate(pool.imap_unordered(judged, missing), 1):
            done[row["expression"]] = row
            if given.output:
                with given.output.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
            for gate, detail in row["failed"].items():
                print(f"✗ {gate}: {detail}\n    {row['name'] or row['expression']}", flush=True)
            if number % 50 == 0:
                print(f"{number:,} in {time.perf_counter() - began:.0f} s", flush=True)
    return report([done[text] for _, text in wanted])


def subjects(count: int, seed: int, atlas_too: bool) -> Iterator[tuple[str | None, str]]:
    """Names and expressions: the atlas, then different sampled genomes."""
    import palmette
    from palmette.grammar import sample_genome
    from palmette.model import atlas

    seen = set()
    if atlas_too:
        for name in atlas.names():
            seen.add(str(atlas.load(name)))
            yield name, str(atlas.load(name))
    rng = random.Random(seed)
    while count:
        text = str(sample_genome(palmette.language(), rng))
        if text not in seen:
            seen.add(text)
            count -= 1
            yield None, text


def judged(asked: tuple[str | None, str, list[str] | None]) -> dict[str, Any]:
    """One subject's verdicts."""
    import warnings

    import torch

    import palmette
    from palmette.gates import check, subject_of

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    name, text, gates = asked
    began = time.process_time()
    results = check(subject_of(palmette.parse(text), **({} if name else SAMPLED)), gates)
    return {
        "name": name,
        "expression": text,
        "seconds": time.process_time() - began,
        "failed": {r.gate: r.detail for r in results if r.passed is False},
        "passed": [r.gate for r in results if r.passed],
    }


def read(path: Path | None) -> dict[str, dict[str, Any]]:
    """The verdicts of an earlier run, by expression."""
    if path is None or not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.endswith("}")]  # the last may be half a line
    return {row["expression"]: row for row in rows}


def report(rows: list[dict[str, Any]]) -> int:
    """Prints what was found; returns the exit code."""
    seconds = sorted(row["seconds"] for row in rows)
    atlas = [row for row in rows if row["name"]]
    print(
        f"\n{len(rows):,} subjects; seconds each: median {seconds[len(seconds) // 2]:.2f}, "
        f"most {seconds[-1]:.2f}; atlas {sum(row['seconds'] for row in atlas):.0f} s in all"
    )
    for row in rows:
        if row["seconds"] > SLOW:
            print(f"slow, {row['seconds']:.1f} s: {row['name'] or row['expression']}")
    applied, failed = Counter[str](), Counter[str]()
    examples = defaultdict[str, list[dict[str, Any]]](list)
    for row in rows:
        applied.update([*row["passed"], *row["failed"]])
        failed.update(row["failed"])
        for gate in row["failed"]:
            examples[gate].append(row)
    print(f"\n{'gate':18}{'applied':>9}{'failed':>8}")
    for gate in sorted(applied):
        print(f"{gate:18}{applied[gate]:>9,}{failed[gate]:>8,}")
    for gate, found in examples.items():
        shortest = min(found, key=lambda row: len(row["expression"]))
        print(f"\n{gate}: {shortest['failed'][gate]}\n    {shortest['expression']}")
    bad = sum(bool(row["failed"]) for row in rows)
    print(f"\n{bad} of {len(rows):,} subjects failed a gate" if bad else "\nno false alarm")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
