"""Draws, trains and puts together."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.calibration import genomes as list_of
from benchmarks.calibration import proxies, report, table
from benchmarks.calibration.running import FOLDER, raised, rows, run, seeds_of, setting_of
from benchmarks.calibration.stages import Stage, stages
from palmette.ladder.calibration import calibration
from palmette.tasks import TASKS, load_corpus, suite
from palmette.train.process import processors


def main(given: list[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser("calibration", description=(__doc__ or "").strip())
    parser.add_argument("do", choices=("draw", "run", "proxies", "table", "report", "figures"))
    parser.add_argument("stages", nargs="*")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the shards")
    parser.add_argument("--browser", help="an executable; playwright's own if not given")
    parser.add_argument("--workers", type=int, default=len(processors()))
    options = parser.parse_args(given)
    if options.do == "draw":
        list_of.draw()
        return 0
    known = stages(TASKS.names())
    if options.do == "table":
        table.FILE.parent.mkdir(parents=True, exist_ok=True)
        table.FILE.write_bytes(table.packed(list(known.values()), list_of.read(), options.folder))
        return 0
    if options.do == "proxies":
        _proxies(known["text-1"])
        return 0
    if options.do == "report":
        return report.main()
    if options.do == "figures":
        return _figures(Path(*options.stages[:1]), options.browser)
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


def _proxies(stage: Stage) -> None:
    mixture, corpus = suite(stage.suite), load_corpus()
    setting = setting_of(mixture, mixture.digest(corpus.sha256))
    genomes = [genome for _, genome in list_of.read()]
    proxies.run(genomes, stage.rung, mixture, corpus, seeds_of(stage, setting))


def _figures(folder: Path, browser: str | None) -> int:
    from benchmarks.calibration.figures import pictures  # nothing else needs a browser

    table = calibration()
    if table is None:
        print("there is no table yet: python -m benchmarks.calibration table", file=sys.stderr)
        return 2
    for path in pictures(table, folder, browser):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
