"""Trials per hour: the pool as `grow` uses it, against two ways to go without it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

import palmette
from benchmarks.ratios.agreement import Agreement, distance
from benchmarks.ratios.measure import Pair, Reading, Side, interleave
from benchmarks.ratios.models import Data, numbers
from benchmarks.ratios.row import Row, Wanted
from benchmarks.ratios.theirs import transplant
from benchmarks.ratios.trials import WORKERS, genomes, in_loop, in_pool, in_processes, spec
from palmette.model import build_at
from palmette.records import TrialSpec
from palmette.tasks import VOCABULARY, load_corpus, suite
from palmette.train.batches import batches
from palmette.train.loop import prepare
from palmette.train.pool import Pool
from palmette.train.seeding import weights_seed

HOUR = 3600


class Trials(Row):
    """The fixed list of genomes on the first pocket rung, two workers, wall time."""

    unit = "s"
    clock = "wall"  # of two workers side by side

    def __init__(
        self,
        against: str,
        wanted: Wanted,
        pairs: int,
        rival: Callable[[Sequence[TrialSpec]], float],
        theirs: bool,
    ) -> None:
        self.name = "trials of 40 genomes"
        self.against, self.wanted, self.pairs = against, wanted, pairs
        self.rival, self.with_their_operators = rival, theirs
        self.about = "the first pocket rung: 42,000 parameters, 57,344 tokens, 4 x 128 a step"
        self._walls: dict[str, list[float]] = {"ours": [], "theirs": []}

    def specs(self, kernel: str) -> list[TrialSpec]:
        return [spec(text, kernel) for text in genomes()]

    def measure(self, pairs: int) -> list[Pair]:
        with Pool(WORKERS, load_corpus().directory) as pool:
            in_pool(pool, [spec(genomes()[0], "native", seed=n + 1) for n in range(WORKERS)])
            return interleave(*self.sides_of(pool), pairs)

    def sides_of(self, pool: Pool) -> tuple[Side, Side]:
        def ours() -> Reading:
            began = time.perf_counter()
            in_pool(pool, self.specs("native"))
            return self.note("ours", time.perf_counter() - began)

        return ours, lambda: self.note("theirs", self.rival(self.specs("torch")))

    def sides(self) -> tuple[Side, Side]:
        raise NotImplementedError("the sides share a pool: see `measure`")

    def note(self, side: str, wall: float) -> Reading:
        self._walls[side].append(wall)
        return Reading(wall, wall)

    def check(self) -> Agreement:
        """Every genome's first loss, logits and gradients, on both sides.

        A whole training amplifies rounding, so its end says nothing of this.
        """
        errors = {}
        for text in genomes():
            given = spec(text, "torch")
            subject = prepare(given)
            made = [
                build_at(subject.genome, subject.sized.place, weights_seed(given), kernel)
                for kernel in ("native", "torch")
            ]
            if self.with_their_operators:
                transplant(made[1])
            mixture = suite(given.suite)
            batch = Data(*next(batches(given, mixture, load_corpus(), 1)))
            ours, theirs = (numbers(model, batch) for model in made)
            assert theirs["logits"].shape[-1] == VOCABULARY
            name = palmette.parse(text).hash[:8]
            both = [torch.cat([x.flatten() for x in side.values()]) for side in (ours, theirs)]
            assert ours.keys() == theirs.keys()
            errors[f"genome {name}"] = distance(*both)
        return Agreement(errors, 1e-4)

    def notes(self) -> dict[str, Any]:
        count = len(genomes())
        return {
            f"trials per hour, {side}": [round(HOUR * count / wall) for wall in walls]
            for side, walls in self._walls.items()
        }


def rows() -> Iterator[Row]:
    """Against a competent loop, and against a fresh process a trial."""
    yield Trials("a forked loop with our torch kernels", Wanted(2), 2, in_loop, theirs=False)
    yield Trials("a process each, transformers' operators", Wanted(4), 2, in_processes, theirs=True)
