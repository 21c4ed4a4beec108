"""Grows the campaigns, and tells how long each part took."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.picture import save
from benchmarks.rediscovery import campaigns, figures, times, worth
from palmette.train.process import processors

FOLDER = Path("benchmarks/results/rediscovery")


def main(given: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser("rediscovery", description="Are known parts found again?")
    parser.add_argument("do", choices=("run", "report"))
    parser.add_argument("--genomes", type=int, default=60, help="of each campaign")
    parser.add_argument("--seeds", type=int, default=4, help="campaigns of each arm")
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--suite", help="the scale's own if not given")
    parser.add_argument("--rungs", type=int, default=1)
    parser.add_argument("--workers", type=int, default=len(processors()))
    parser.add_argument("--storage", default="sqlite:///rediscovery.db")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the results")
    parser.add_argument("--picture", type=Path, metavar="PNG", help="with report")
    parser.add_argument("--browser", help="an executable; playwright's own if not given")
    options = parser.parse_args(given)
    seeds = range(options.seeds)
    file = options.folder / "genomes.jsonl"
    if options.do == "run":
        own = campaigns.ground(options.scale, options.suite, options.rungs)
        try:
            campaigns.grow(options.storage, own, options.genomes, seeds, options.workers)
        finally:
            count = campaigns.write(file, campaigns.rows(options.storage, own.scale, seeds))
            print(f"{count} lines in {file}")
    if not file.is_file():
        print(f"there is no {file} yet: python -m benchmarks.rediscovery run", file=sys.stderr)
        return 2
    rows = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    found = times.measured(rows)
    print(times.markdown(found), worth.markdown(worth.measured(rows)), sep="\n\n")
    held = json.dumps([asdict(row) for row in found], indent=1)
    (options.folder / "times.json").write_text(held + "\n", "utf-8")
    if options.picture:
        save({options.picture: figures.drawn(rows)}, options.browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
