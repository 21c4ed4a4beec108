"""Quality of a proposal against the designer's steps that went into it, one to five.

    python -m benchmarks.designers steps --count 16
    python -m benchmarks.designers steps --table

1 proposes, 2 retrieves cards first, 3 thinks first as well, 4 and 5 add rounds of review and
revision. All proposals are made on one archive: the first `--genomes` of an evolution campaign on
a scale's first rung, which nothing is added to, so proposal n has the same parent at every number
of steps and each stands alone. *Quality* is the child's first-rung score less its parent's, trained
for real under the same sweep and seed. What comes to nothing has no quality, and is counted.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.designers import arena
from benchmarks.designers.curve import LEAST, Fitted, fitted
from benchmarks.designers.shared import add_options, append, read, spread
from palmette.designer.connect import connect
from palmette.designer.endpoint import Endpoint
from palmette.designer.money import Ledger
from palmette.designer.session import Studio
from palmette.ladder.statistics import mean_interval
from palmette.records import DesignerConfig, Thought
from palmette.report.figures.theme import Figure, Json, figure
from palmette.search.proposers import NoProposalError, Turn, proposers

STEPS = (1, 2, 3, 4, 5)


def propose(
    steps: int,
    number: int,
    ran: arena.Ran,
    endpoint: Endpoint,
    config: DesignerConfig,
) -> dict[str, Any]:
    """One proposal with so many steps, and what it used; `child` is None if nothing came."""
    archive = ran.archive
    thoughts: list[Thought] = []
    studio = Studio(
        endpoint,
        config.model_copy(update={"steps": steps}),
        Ledger(),
        lambda thought, prompt: thoughts.append(thought),
    )
    turn = Turn(
        island=0,
        rng=random.Random(f"steps/{number}"),
        number=number,
        reason_against=lambda genome: ran.screen.reason_against(genome, archive.entries),
    )
    parent = child = why = None
    try:
        proposal = proposers["llm"].make(studio).ask(archive, turn)
        made_of = archive.entry(proposal.parents[0])
        assert made_of is not None, "a designer edits what is in the archive"
        parent, child = made_of.genome.text, proposal.genome.text
    except NoProposalError as error:
        why = str(error)[:300]
    return {
        "steps": steps,
        "number": number,
        "model": config.models[0],
        "parent": parent,
        "child": child,
        "why": why,
        "asked": sum(thought.model is not None for thought in thoughts),
        "tokens": sum(thought.tokens_in + thought.tokens_out for thought in thoughts),
        "seconds": round(sum(thought.seconds for thought in thoughts), 1),
    }


def measure(options: argparse.Namespace, rows: list[dict[str, Any]]) -> None:
    """Proposes what is missing on the archive, then trains what has no score yet."""
    where = (options.scale, 0)
    ran = arena.run("evolution", *where, options.genomes, options.directory, options.workers)
    known = {row["genome"] for row in rows if "genome" in row}
    for entry in ran.archive.entries:
        if entry.genome.text not in known:
            keep(options, rows, {"genome": entry.genome.text, "score": entry.score})
    endpoint, models = connect([options.model] if options.model else [])
    config = DesignerConfig(models=models[:1], context_tokens=options.context)
    done = {(row["steps"], row["number"]) for row in rows if "steps" in row}
    for number in range(options.count):
        for steps in options.steps:
            if (steps, number) not in done:
                row = propose(steps, number, ran, endpoint, config)
                keep(options, rows, row)
                print(steps, number, row["child"], row["tokens"], file=sys.stderr, flush=True)
    known = {row["genome"] for row in rows if "genome" in row}
    wanted = {row["child"] for row in rows if row.get("child")} - known
    scores = arena.train(wanted, *where, options.directory, options.workers)
    for text in sorted(wanted):
        keep(options, rows, {"genome": text, "score": scores[text]})


def keep(options: argparse.Namespace, rows: list[dict[str, Any]], row: dict[str, Any]) -> None:
    rows.append(row)
    append(options.results, row)


def repeated(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for which the last step was not taken, since the reviewer had accepted the idea.

    With the same draws it is the same proposal as with one step less, and no evidence of its own.
    """
    made = {(row["steps"], row["number"]): row for row in rows if "steps" in row}
    found = []
    for (steps, number), row in made.items():
        less = made.get((steps - 1, number))
        if less and all(row[key] == less[key] for key in ("child", "asked", "tokens")):
            found.append(row)
    return found


def qualities(rows: Sequence[dict[str, Any]]) -> dict[int, list[float]]:
    """The qualities of trained proposals by steps, each proposal once."""
    same = {(row["steps"], row["number"]) for row in repeated(rows)}
    scores = {row["genome"]: row["score"] for row in rows if "genome" in row}
    found: dict[int, list[float]] = {}
    for row in rows:
        if row.get("child") is None or (row["steps"], row["number"]) in same:
            continue
        before, after = scores.get(row["parent"]), scores.get(row["child"])
        if before is not None and after is not None:
            found.setdefault(row["steps"], []).append(after - before)
    return dict(sorted(found.items()))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """A line for each number of steps, then the fitted curves."""
    made = [row for row in rows if "steps" in row]
    found = qualities(rows)
    lines = [
        "steps  asked  nothing  as before  trained  child less parent          better   tokens each"
    ]
    for steps in sorted({row["steps"] for row in made}):
        mine = [row for row in made if row["steps"] == steps]
        own = found.get(steps, [])
        same = sum(row["steps"] == steps for row in repeated(made))
        held = mean_interval(own)
        told = f"{held.value:+.4f} [{held.low:+.4f}, {held.high:+.4f}]" if held else "-"
        better = f"{sum(value > 0 for value in own)}/{len(own)}"
        tokens = spread([row["tokens"] for row in mine])
        lines.append(
            f"{steps:>5}{len(mine):>7}{sum(row['child'] is None for row in mine):>9}"
            f"{same:>11}{len(own):>9}  {told:<26}{better:>8}   {tokens}"
        )
    if len(found) > 1 and sum(map(len, found.values())) >= LEAST:
        lines.append("")
        lines += [_told(one) for one in fitted(found)]
    return "\n".join(lines)


def _told(one: Fitted) -> str:
    names = ("a", "b", "tau")
    parts = [
        f"{name} {value:+.4f} [{low:+.4f}, {high:+.4f}]"
        for name, value, (low, high) in zip(names, one.values, one.intervals, strict=False)
    ]
    return f"{one.curve.name:<11} AICc {one.aicc:8.1f}, weight {one.weight:.2f}: {', '.join(parts)}"


def drawn(rows: Sequence[dict[str, Any]]) -> Figure:
    """Every proposal's quality by steps, their means with intervals, and the curves."""
    found = qualities(rows)
    rng = random.Random(0)
    means = {steps: mean_interval(values) for steps, values in found.items()}
    traces: list[Json] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "one proposal",
            "x": [s + rng.uniform(-0.12, 0.12) for s, values in found.items() for _ in values],
            "y": [value for values in found.values() for value in values],
            "marker": {"color": "@soft", "size": 5, "opacity": 0.6},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "mean, 95 %",
            "x": list(found),
            "y": [mean(values) for values in found.values()],
            "error_y": {
                "type": "data",
                "array": [held.high - held.value if held else 0.0 for held in means.values()],
                "color": "@ink",
            },
            "marker": {"color": "@ink", "size": 10},
        },
    ]
    grid = [1 + step / 20 for step in range(20 * (max(found) - 1) + 1)]
    for one, colour in zip(fitted(found, refits=2), ("@s2", "@s1", "@accent"), strict=True):
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{one.curve.name} (weight {one.weight:.2f})",
                "x": grid,
                "y": [float(v) for v in one.curve.of(np.array(grid), *one.values)],
                "line": {"color": colour, "width": 2},
            }
        )
    return figure(
        "steps",
        "Quality against designer steps",
        traces,
        360,
        xaxis={"title": {"text": "designer steps of a proposal"}, "dtick": 1},
        yaxis={"title": {"text": "child's score less its parent's"}, "tickformat": ".2f"},
    )


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser("steps", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, nargs="+", default=list(STEPS))
    parser.add_argument("--count", type=int, default=16, help="proposals of each")
    parser.add_argument("--context", type=int, default=2048, help="tokens that the model can read")
    parser.add_argument("--scale", default="pocket")
    parser.add_argument("--genomes", type=int, default=12, help="of the archive")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--directory", type=Path, default=Path("steps"), help="for the stores")
    add_options(parser, "designers_steps.jsonl")
    options = parser.parse_args(given)
    rows = read(options.results)
    if not options.table:
        measure(options, rows)
    print(table(rows))
    return 0
