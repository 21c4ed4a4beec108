"""Measures the rows and prints the table."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

from benchmarks.ratios.host import host
from benchmarks.ratios.report import HEAD, exit_code, line, markdown, write
from benchmarks.ratios.row import Outcome, rows, run

RESULTS = Path("benchmarks/results/ratios.json")


def main(given: list[str] | None = None) -> int:
    """Returns the exit code: 1 if a row was refused or failed."""
    parser = argparse.ArgumentParser("ratios", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--rows", nargs="*", default=[], help="parts of what is measured or against what"
    )
    parser.add_argument("--pairs", type=int, help="of every row, in place of its own number")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the JSON file")
    parser.add_argument("--list", action="store_true", help="name the rows and measure nothing")
    parser.add_argument("--markdown", action="store_true", help="the file as a table, no more")
    options = parser.parse_args(given)

    if options.markdown:
        print(markdown(json.loads(options.results.read_text("utf-8"))))
        return 0
    torch.set_num_threads(1)
    known = list(rows())
    told = [f"{row.name}, {row.against}" for row in known]
    chosen = [
        row
        for row, name in zip(known, told, strict=True)
        if not options.rows or any(part in name for part in options.rows)
    ]
    if not chosen:
        names = "\n  ".join(told)
        print(f"no row's name has a part of {options.rows}; there are\n  {names}", file=sys.stderr)
        return 2
    if options.list:
        for row in chosen:
            print(f"{row.name:<44} {row.against:<42} {row.wanted!s:>9}  {row.about}")
        return 0
    if not options.rows:
        options.results.unlink(missing_ok=True)
    here = host()
    print("\n".join(f"{name}: {value}" for name, value in here.items()))
    print(f"\n{HEAD}")
    outcomes: list[Outcome] = []
    for row in chosen:
        outcome = run(row, options.pairs)
        outcomes.append(outcome)
        print(line(outcome), flush=True)
        for name, value in outcome.notes.items():
            print(f"    {name}: {value}", flush=True)
        if outcome.error is not None:
            print(outcome.error, file=sys.stderr)
        write(options.results, here, outcomes, [(row.name, row.against) for row in known])
    return exit_code(outcomes)


if __name__ == "__main__":
    sys.exit(main())
