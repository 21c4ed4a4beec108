"""Draws, trains and puts together."""

from __future__ import annotations

import argparse
import sys

from benchmarks.calibration import genomes as list_of
from benchmarks.calibration.running import raised, rows, run
from benchmarks.calibration.stages import stages
from palmette.tasks import TASKS
from palmette.train.process import processors


def main(given: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser("calibration", description=(__doc__ or "").strip())
    parser.add_argument("do", choices=("draw", "run"))
    parser.add_argument("stages", nargs="*")
    parser.add_argument("--workers", type=int, default=len(processors()))
    options = parser.parse_args(given)
    if options.do == "draw":
        list_of.draw()
        return 0
    known = stages(TASKS.names())
    if unknown := [name for name in options.stages if name not in known]:
        print(f"no stage {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    genomes = [genome for _, genome in list_of.read()]
    for name in options.stages:
        stage = known[name]
        chosen = genomes
        if stage.genomes < len(genomes):
            chosen = raised(genomes, stage.genomes, rows(known["text-1"]))
        run(stage, chosen, options.workers, rows(known[stage.after]) if stage.after else ())
    return 0


if __name__ == "__main__":
    sys.exit(main())
