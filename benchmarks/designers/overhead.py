"""What a proposal costs on our side: everything but the endpoint's own time.

    python -m benchmarks.designers overhead --count 60

A campaign of `llm` without trials: a scripted model answers every role legally and at once, scores
are drawn. Each proposal sees an archive that holds all before it, with their thoughts, beginning
with 60 genomes of evolution. Measured are processor seconds of the thread, which other work on the
machine does not stretch, and wall seconds beside them, in three parts: the designer (scene, cards,
menu, schema, prompts, reading, checking), the screen (does it fit, is it a twin), and keeping the
thoughts in a store. The first proposals of a process, which fill caches, are told apart.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.designers.arena import first_rung
from benchmarks.designers.shared import RESULTS, append, quartiles, read
from palmette.designer.endpoint import Answer, Request
from palmette.designer.session import Studio
from palmette.records import Thought
from palmette.search.archive import Archive, Entry
from palmette.search.candidates import proposed
from palmette.search.proposers import Proposal, Proposer, Turn, proposers
from palmette.search.start import Plan, open_campaign, prepare, screen_for
from palmette.store import Store
from palmette.testing.scripted_designer import legal, scripted_studio

T = TypeVar("T")
FIRST = 60  # genomes in the archive before the first proposal
WARM = 5  # proposals until caches are full
PARTS = ("designer", "screen", "store")


@dataclass
class Watch:
    """Processor and wall seconds by part; what runs inside a part inside another counts once."""

    spent: dict[str, list[float]] = field(default_factory=dict)
    _open: list[list[float]] = field(default_factory=list)

    @contextmanager
    def time(self, part: str) -> Iterator[None]:
        inner = [0.0, 0.0]
        self._open.append(inner)
        began = time.thread_time(), time.perf_counter()
        try:
            yield
        finally:
            took = time.thread_time() - began[0], time.perf_counter() - began[1]
            self._open.pop()
            held = self.spent.setdefault(part, [0.0, 0.0])
            for n in range(2):
                held[n] += took[n] - inner[n]
                if self._open:
                    self._open[-1][n] += took[n]

    def around(self, part: str, call: Callable[..., T]) -> Callable[..., T]:
        def timed(*given: Any) -> T:
            with self.time(part):
                return call(*given)

        return timed


def measure(steps: int, count: int) -> list[dict[str, Any]]:
    """A row a proposal, with milliseconds by part."""
    ground = prepare(Plan("overhead", proposers=("evolution",)), first_rung("pocket"))
    screen = screen_for(ground)
    rng = random.Random(0)
    rows = []
    with tempfile.TemporaryDirectory() as folder, Store(f"sqlite:///{folder}/overhead.db") as store:
        campaign = open_campaign(store, ground)
        root = Entry(campaign.candidates()[0], ground.root, 0.5)
        archive = Archive((root,), ground.language, islands=1)
        evolution = proposers["evolution"].make(None)
        for number in range(FIRST):
            turn = Turn(0, random.Random(number), number)
            archive = with_child(
                archive, evolution.ask(archive, turn), screen, evolution, turn, rng
            )
        watch = Watch()
        thoughts: list[Thought] = []

        def note(thought: Thought, prompt: str | None) -> None:
            thoughts.append(thought)
            with watch.time("store"):
                campaign.add_thought(thought, prompt)

        def answer(model: str, request: Request) -> str | Answer:
            with watch.time("endpoint"):
                return legal(model, request)

        scripted = scripted_studio(answer, steps=steps)
        llm = proposers["llm"].make(
            Studio(scripted.endpoint, scripted.config, scripted.ledger, note)
        )
        for number in range(FIRST, FIRST + count):
            watch.spent.clear()
            against = watch.around("screen", screen.reason_against)
            turn = Turn(0, random.Random(number), number, bound(against, archive))
            with watch.time("designer"):
                proposal = llm.ask(archive, turn)
            rows.append(
                {
                    "steps": steps,
                    "number": number - FIRST,
                    "calls": sum(t.model is not None for t in thoughts),
                    **{part: [round(1000 * s, 3) for s in watch.spent[part]] for part in PARTS},
                }
            )
            archive = with_child(archive, proposal, screen, llm, turn, rng)
            archive = replace(archive, thoughts=(*archive.thoughts, *thoughts))
            thoughts.clear()
    return rows


def bound(call: Callable[..., T], archive: Archive) -> Callable[..., T]:
    return lambda genome: call(genome, archive.entries)


def with_child(
    archive: Archive,
    proposal: Proposal,
    screen: Any,
    proposer: Proposer,
    turn: Turn,
    rng: random.Random,
) -> Archive:
    """The archive with one more genome, whose score is drawn around its parent's."""
    candidate = proposed(proposal, screen, turn.number, proposer.name, turn.island)
    parent = archive.entry(proposal.parents[0])
    assert parent is not None
    assert parent.score is not None
    entry = Entry(candidate, proposal.genome, parent.score + rng.gauss(0, 0.01))
    return replace(archive, entries=(*archive.entries, entry))


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["milliseconds a proposal: median (quartiles); processor time, then wall time"]
    for steps in sorted({row["steps"] for row in rows}):
        warm = [row for row in rows if row["steps"] == steps and row["number"] >= WARM]
        calls = sum(row["calls"] for row in warm) / len(warm)
        lines.append(f"{steps} steps, {calls:.1f} calls, {len(warm)} proposals")
        for part in PARTS:
            cpu, wall = ([row[part][n] for row in warm] for n in range(2))
            lines.append(f"  {part:<10}{quartiles(cpu):>24}{quartiles(wall):>24}")
        whole = [
            [sum(row[part][n] for part in ("designer", "store")) for row in warm] for n in (0, 1)
        ]
        lines.append(f"  {'both ours':<10}{quartiles(whole[0]):>24}{quartiles(whole[1]):>24}")
    return "\n".join(lines)


def main(given: list[str]) -> int:
    parser = argparse.ArgumentParser("overhead", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--count", type=int, default=60, help="proposals of each")
    parser.add_argument("--results", type=Path, default=RESULTS / "designers_overhead.jsonl")
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args(given)
    rows = read(options.results)
    for steps in [] if options.table else options.steps:
        if not any(row["steps"] == steps for row in rows):
            for row in measure(steps, options.count):
                rows.append(row)
                append(options.results, row)
            print(steps, file=sys.stderr, flush=True)
    print(table(rows))
    return 0
