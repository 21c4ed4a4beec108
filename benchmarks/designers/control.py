"""Proposers at equal trials: `llm` against `evolution` against `random`, trained for real.

    python -m benchmarks.designers control --arm llm evolution random --seeds 4 --genomes 20

Each arm and seed is a campaign on the first rung of a scale (`arena`), from the same root, until it
has so many genomes. *Gain* is a genome's score less its parent's, *per trial* its mean; what tokens
bought is what an arm gained beyond evolution over all tokens it used; *best* is the best genome
less the root. The unit of replication is the campaign, so intervals are Student's over seeds and
differences are paired by seed (`palmette.search.gains`).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.designers import arena
from benchmarks.designers.shared import add_options, append, read, share
from palmette.designer.connect import connect
from palmette.designer.endpoint import Endpoint
from palmette.ladder.statistics import Estimate, mean_interval
from palmette.records import DesignerConfig
from palmette.report.figures.theme import Figure, Json, figure
from palmette.search.gains import Outcome, best_after, bought, difference, mean_gain

ARMS = ("llm", "evolution", "random")


def kept(arm: str, scale: str, seed: int, ran: arena.Ran) -> dict[str, Any]:
    """A campaign's row: its root's score, and each proposal with what came of it and its cost."""
    return {
        "arm": arm,
        "seed": seed,
        "scale": f"{scale}, first rung",
        "model": next((t.model for t in ran.thoughts if t.model), None),
        "root": ran.archive.root.score,
        "outcomes": [asdict(outcome) for outcome in ran.outcomes],
        "genomes": [e.genome.text for e in ran.archive.entries if e.candidate.role == "found"],
    }


def outcomes(row: dict[str, Any]) -> list[Outcome]:
    return [Outcome(**{**one, "predicted": None}) for one in row["outcomes"]]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A few lines an arm."""
    lines = []
    seeds = sorted({row["seed"] for row in rows})
    held = {(row["arm"], row["seed"]): outcomes(row) for row in rows}
    told = {arm: [held.get((arm, seed), []) for seed in seeds] for arm in ARMS}
    for arm, own in told.items():
        every = [outcome for one in own for outcome in one]
        if not every:
            continue
        gains = [outcome.gain for outcome in every if outcome.gain is not None]
        tried = sum(outcome.tried for outcome in every)
        rises = [
            best - row["root"]
            for row in rows
            if row["arm"] == arm
            and (best := best_after(outcomes(row), len(row["genomes"]))) is not None
        ]
        lines += [
            f"{arm}: {sum(map(bool, own))} campaigns, {tried} genomes, {len(every) - tried} "
            f"proposals that came to nothing",
            f"  gain per trial        {interval(mean_gain(own))}",
            f"  genomes that gained   {share(sum(gain > 0 for gain in gains), len(gains))}",
            f"  best less root        {interval(mean_interval(rises))}",
        ]
        if arm != "evolution" and any(told["evolution"]):
            lines.append(f"  gain less evolution's {interval(difference(own, told['evolution']))}")
        if tokens := sum(outcome.tokens for outcome in every):
            more = bought(own, told["evolution"], lambda outcome: outcome.tokens / 1000)
            seconds = sum(outcome.seconds for outcome in every)
            lines += [
                f"  that for 1,000 tokens {interval(more)}",
                f"  tokens a genome       {tokens / tried:,.0f}; the model took "
                f"{seconds / tried:.0f} s",
            ]
    return "\n".join(lines)


def interval(found: Estimate | None) -> str:
    """A mean with its 95 % interval."""
    return f"{found.value:+.5f} [{found.low:+.5f}, {found.high:+.5f}]" if found else "none"


def drawn(rows: Sequence[dict[str, Any]]) -> Figure:
    """The best so far above the root against trials: one thin line a seed, a thick one the mean."""
    traces: list[Json] = []
    for arm, colour in zip(ARMS, ("@accent", "@s1", "@soft"), strict=True):
        mine = [best_so_far(row) for row in rows if row["arm"] == arm]
        mean = [sum(at) / len(at) for at in zip(*mine, strict=False)]
        for values, width, shown in [*((own, 0.8, False) for own in mine), (mean, 3.0, True)]:
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": arm,
                    "showlegend": shown,
                    "x": list(range(len(values))),
                    "y": values,
                    "line": {"color": colour, "width": width, "shape": "hv"},
                }
            )
    return figure(
        "control",
        "Best so far above the root, by proposer",
        traces,
        340,
        xaxis={"title": {"text": "proposals trained"}},
        yaxis={"title": {"text": "best first-rung score less the root's"}, "tickformat": ".3f"},
    )


def best_so_far(row: dict[str, Any]) -> list[float]:
    """What the best is above the root (itself to begin with), after each trained proposal."""
    best = [0.0]
    for outcome in outcomes(row):
        if outcome.tried:
            score = outcome.score
            best.append(best[-1] if score is None else max(best[-1], score - row["root"]))
    return best


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser("control", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arm", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--genomes", type=int, default=20, help="of each arm and seed")
    parser.add_argument("--steps", type=int, default=2, help="of the model in a proposal")
    parser.add_argument("--context", type=int, default=2048, help="tokens that the model can read")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--directory", type=Path, default=Path("control"), help="for the stores")
    add_options(parser, "designers_control.jsonl")
    options = parser.parse_args(given)
    rows = read(options.results)
    done = {(row["arm"], row["seed"]) for row in rows}
    wanted = [(arm, seed) for seed in range(options.seeds) for arm in options.arm]
    endpoint: Endpoint | None = None
    models: tuple[str, ...] = ()
    if "llm" in options.arm and not options.table:
        endpoint, models = connect([options.model] if options.model else [])
    for arm, seed in [] if options.table else wanted:
        if (arm, seed) in done:
            continue
        designer = DesignerConfig(
            models=models, context_tokens=options.context, steps=options.steps
        )
        thinks = arm == "llm"
        ran = arena.run(
            arm,
            options.scale,
            seed,
            options.genomes,
            options.directory,
            options.workers,
            designer if thinks else None,
            endpoint if thinks else None,
        )
        rows.append(kept(arm, options.scale, seed, ran))
        append(options.results, rows[-1])
        print(arm, seed, best_so_far(rows[-1])[-1], file=sys.stderr, flush=True)
    print(table(rows))
    return 0
