"""Campaigns that can find nothing: every genome is the root again, with seeds of its own.

    python -m benchmarks.placebos --campaigns 10 --genomes 16 --root mamba2 --alone

The copies compete as found genomes do: a sweep, halving, fresh seeds on the last rung, beside the
root and the human baselines. Of each campaign the best copy on the last rung is held to what makes
people believe a search: the 95 % interval of its shrunken difference from the root, with which the
report opens, lies above zero; its interval lies above the whole of the root's; it ranks above every
baseline. Whatever passes is wrong, so the share that does is the noise floor of a search, told with
Clopper and Pearson's bound (1934). It is hardest where the root is the best baseline; the others
decide nothing then and may be left out (`--alone`). `--simulate` says what the first criterion
would do were noise normal and alike.

Results are a line a campaign, kept as each ends; the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from palmette.ladder.halving import next_promotion
from palmette.ladder.rate import rate
from palmette.ladder.results import Ascent, ascents, score_at, wanted_specs
from palmette.ladder.scales import HUMAN_BASELINES, Scale
from palmette.ladder.scales import scale as scale_named
from palmette.ladder.statistics import Estimate, difference, pooled_noise, share, shrink
from palmette.model import atlas
from palmette.records import Candidate, StoredTrial
from palmette.search.book import Book
from palmette.search.candidates import placebo
from palmette.search.comparison import Comparison
from palmette.search.grow import grow
from palmette.search.start import Ground, Plan, open_campaign, prepare
from palmette.store import Campaign, Store
from palmette.train.executor import Executor
from palmette.train.pool import Pool
from palmette.train.process import processors

RESULTS = Path("benchmarks/results/placebos.jsonl")
Row = dict[str, Any]
Trainer = Callable[[Campaign, Ground], AbstractContextManager[Executor]]


class Copies(Comparison):
    """Schedules a search whose proposer knows one genome, the root."""

    def __init__(self, book: Book, genomes: int) -> None:
        super().__init__(book)
        self._genomes = genomes

    def ask(self) -> StoredTrial | None:
        """Promotions first, then what is queued, then another copy."""
        self._promote()
        if not self.book.queued() and self._left:
            candidate = self._copy()
            self.book.add(candidate, wanted_specs(Ascent(candidate), 0, self.book.setting), [])
            self._promote()
        queued = self.book.queued()
        return self.book.start(queued[0]) if queued else None

    @property
    def _left(self) -> int:
        return self._genomes - sum(one.role == "found" for one in self.book.candidates)

    def _copy(self) -> Candidate:
        """The root under the next replica; in the role of a find, so that it competes as one."""
        root = next(one for one in self.book.candidates if one.role == "root")
        number = 1 + sum(one.role == "found" for one in self.book.candidates)
        return placebo(root, number, number).model_copy(update={"role": "found"})

    def _promote(self) -> None:
        scale = self.book.setting.scale
        while promotion := next_promotion(self.book.climbers, scale, not self._left):
            climber, rung = promotion
            self.book.queue(climber, wanted_specs(climber, rung, self.book.setting))


def ground(root: str, scale: Scale, seed: int, suite: str | None = None) -> Ground:
    """A campaign of copies of this atlas design on the ladder of a scale."""
    plan = Plan(
        f"placebos-{root}-{seed}",
        root=atlas.load(root),
        root_name=root,
        scale=scale.name,
        suite=suite,
        seed=seed,
    )
    return prepare(plan, scale)


def run(own: Ground, genomes: int, directory: Path, trainer: Trainer) -> Row:
    """A campaign to its end, continued if it was begun; its line."""
    directory.mkdir(parents=True, exist_ok=True)
    with Store(f"sqlite:///{directory.resolve()}/{own.config.name}.db") as store:
        campaign = open_campaign(store, own)
        campaign.requeue_running()
        with campaign.lease("benchmark") as lease, trainer(campaign, own) as executor:
            setting = own.setting_of(campaign.config)
            grow(Copies(Book(campaign, setting), genomes), executor, lease.beat)
        told = weighed(campaign.candidates(), campaign.trials(), own.scale)
    return {
        "root": own.config.root_name,
        "seed": own.config.seed,
        "scale": own.scale.name,
        "baselines": list(own.scale.baselines),
        "genomes": genomes,
        **told,
    }


def weighed(candidates: Sequence[Candidate], trials: Sequence[StoredTrial], scale: Scale) -> Row:
    """What the best copy on the last rung looks like, beside the root and the baselines.

    Copies have their own seeds, so nothing is paired: the noise is the spread between seeds, and
    the copies that came so far are shrunken together as found genomes are.
    """
    last = len(scale.rungs) - 1
    scored = {
        one: score
        for one in ascents(candidates, trials, scale)
        if (score := score_at(one, last, scale))
    }
    noise = pooled_noise([score.values for score in scored.values()])
    copies = [one for one in scored if one.candidate.role == "found"]
    done = [trial.result for trial in trials if trial.result]
    told: Row = {
        "copies_on_the_last_rung": len(copies),
        "trials": len(done),
        "worker_seconds": round(math.fsum(result.wall_seconds for result in done), 1),
    }
    root = next((one for one in scored if one.candidate.role == "root"), None)
    if noise is None or root is None or not copies:
        return told | {"noise": None, "best": None, "above_root": None, "above_baselines": None}

    def estimates(group: Sequence[Ascent]) -> list[Estimate]:
        means = [scored[one].mean for one in group]
        return shrink(means, [len(scored[one].values) for one in group], noise)

    best = max(estimates(copies), key=lambda one: one.value)
    others = {
        one.candidate.name or one.candidate.genome[:8]: estimates([one])[0]
        for one in scored
        if one.candidate.role != "found"
    }
    return told | {
        "noise": noise.deviation,
        "best": [best.value, best.low, best.high],
        "others": {name: [one.value, one.low, one.high] for name, one in others.items()},
        "above_root": best.low > estimates([root])[0].high,
        "above_baselines": all(best.value > one.value for one in others.values()),
    }


def ahead(row: Row) -> Estimate:
    """What the best copy is ahead of the root by, as the report tells it."""
    return difference(Estimate(*row["best"]), Estimate(*row["others"][row["root"]]))


def simulated(copies: int, campaigns: int = 4000, seed: int = 0) -> Estimate:
    """The share of campaigns whose best copy the report calls better, were noise normal and alike.

    So many copies and the root have two seeds each, nobody is better; the noise is estimated from
    them, as in a campaign.
    """
    generator = np.random.default_rng(seed)
    called = 0
    for _ in range(campaigns):
        values = generator.standard_normal((copies + 1, 2))
        noise = pooled_noise(values.tolist())
        assert noise is not None, "two seeds are a spread"
        root, *means = values.mean(1).tolist()
        best = max(shrink(means, [2] * copies, noise), key=lambda one: one.value)
        called += difference(best, shrink([root], [2], noise)[0]).low > 0
    found = share(called, campaigns)
    assert found is not None, "there is a campaign"
    return found


def table(rows: Sequence[Row]) -> str:
    """How often each criterion was met, and what a report would call better than all."""
    known = [row for row in rows if row["best"] is not None]
    better = [ahead(row).low > 0 for row in known]
    lines = [f"{len(known)} of {len(rows)} campaigns have a copy on the last rung"]
    for name, met in (
        ("difference from the root above zero", better),
        ("interval above the root's", [row["above_root"] for row in known]),
        ("ranks above every baseline", [row["above_baselines"] for row in known]),
        (
            "first and third: a false find",
            [b and row["above_baselines"] for b, row in zip(better, known, strict=True)],
        ),
    ):
        told = rate(sum(met), len(known))
        if told:
            lines.append(
                f"{name:<35} {told.happened} of {told.cases}, at most {100 * told.bound:.1f} %"
            )
    return "\n".join(lines)


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("placebos", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--campaigns", type=int, default=10)
    parser.add_argument("--genomes", type=int, default=16, help="copies in each campaign")
    parser.add_argument("--root", choices=HUMAN_BASELINES, default="deltanet")
    parser.add_argument("--alone", action="store_true", help="no baseline but the root")
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--suite", help="the scale's own if not given")
    parser.add_argument("--workers", type=int, default=len(processors()))
    parser.add_argument("--directory", type=Path, default=Path("placebos"), help="for the stores")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", action="store_true", help="run nothing")
    parser.add_argument("--simulate", type=int, metavar="COPIES", help="on the last rung")
    options = parser.parse_args(given)
    if options.simulate:
        told = simulated(options.simulate)
        print(f"{100 * told.value:.1f} % [{100 * told.low:.1f}, {100 * told.high:.1f}]")
        return 0
    rows = read(options.results)
    ladder = scale_named(options.scale)
    if options.alone:
        ladder = replace(ladder, baselines=())
    wanted = {
        "root": options.root,
        "scale": ladder.name,
        "baselines": list(ladder.baselines),
        "genomes": options.genomes,
    }
    done = {row["seed"] for row in rows if wanted.items() <= row.items()}

    def pool(campaign: Campaign, own: Ground) -> AbstractContextManager[Executor]:
        directory = own.corpus.directory if own.corpus else None
        return Pool(options.workers, directory, weights=campaign.weights_directory)

    for seed in [] if options.table else range(options.campaigns):
        if seed in done:
            continue
        own = ground(options.root, ladder, seed, options.suite)
        rows.append(run(own, options.genomes, options.directory, pool))
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(f"campaign {seed}: {rows[-1]['best']}", file=sys.stderr, flush=True)
    print(table(rows))
    return 0


def read(path: Path) -> list[Row]:
    """The lines that there are."""
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
