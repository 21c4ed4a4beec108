"""What share of a worker's time is not forward, backward, optimiser or evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from benchmarks.ratios.agreement import Agreement
from benchmarks.ratios.measure import Pair, Reading, Side
from benchmarks.ratios.row import Row, Wanted
from benchmarks.ratios.trials import WORKERS, in_pool, spec
from palmette.model import atlas
from palmette.records import TrialSpec
from palmette.tasks import load_corpus
from palmette.train.executor import Finished
from palmette.train.loop import run_trial
from palmette.train.pool import Pool

USEFUL = ("forward", "backward", "optimizer", "evaluation")
ELSEWHERE = ("process", "build", "data", "report")


class Overhead(Row):
    """Trials through the real pool, from their submission to the report of their end.

    They have one seed, as those of a rung do, so their sequences are drawn once.
    """

    unit = "s"
    clock = "wall"
    against = "worker seconds"

    def __init__(self, seconds: float, wanted: Wanted, pairs: int) -> None:
        self.name = f"outside training, trials of {seconds:g} s"
        self.seconds, self.wanted, self.pairs = seconds, wanted, pairs
        self.about = f"{atlas.root}, first pocket rung but for the tokens, {WORKERS} workers"
        self._ended: list[Finished] = []

    def measure(self, pairs: int) -> list[Pair]:
        text = str(atlas.load(atlas.root))
        tokens = spec(text, "native").tokens
        with Pool(WORKERS, load_corpus().directory) as pool:
            # The first trials wait for the server and draw, the last say how fast this machine is.
            for first in (1, 1 + WORKERS, 1 + 2 * WORKERS):
                numbers = range(first, first + WORKERS)
                took = in_pool(pool, [at_rate(spec(text, "native"), n) for n in numbers])
            wanted = round(tokens * self.seconds / median(one.seconds for one in took))
            whole = spec(text, "native", tokens=wanted)
            in_pool(pool, [whole])
            self._ended = in_pool(pool, [at_rate(whole, n) for n in range(1, 1 + pairs)])
        return [self.pair(one) for one in self._ended]

    @staticmethod
    def pair(ended: Finished) -> Pair:
        """The seconds outside of training and evaluation, and all of them."""
        assert ended.result
        outside = ended.seconds - sum(ended.result.phases[phase] for phase in USEFUL)
        return Pair(Reading(outside, outside), Reading(ended.seconds, ended.seconds))

    def sides(self) -> tuple[Side, Side]:
        raise NotImplementedError("both sides are of one trial: see `measure`")

    def check(self) -> Agreement:
        """That a trial in the pool computes what it computes in this process."""
        given = spec(str(atlas.load(atlas.root)), "native", tokens=4096)
        with Pool(1, load_corpus().directory) as pool:
            (pooled,) = in_pool(pool, [given])
        assert pooled.result
        here = run_trial(given, load_corpus())
        errors = {
            f"{task}, {split}": abs(getattr(pooled.result, split)[task].loss_nats - one.loss_nats)
            for split in ("metrics", "select")
            for task, one in getattr(here, split).items()
        }
        return Agreement(errors, 0.0)

    def notes(self) -> dict[str, Any]:
        results = [one.result for one in self._ended if one.result]
        if not results:
            return {}
        parts = {
            f"{phase}, ms": round(1000 * median(one.phases.get(phase, 0.0) for one in results), 2)
            for phase in ELSEWHERE
        }
        rest = median(
            one.seconds - sum(one.result.phases.values()) for one in self._ended if one.result
        )
        return parts | {"in no phase, ms": round(1000 * rest, 2)}


def at_rate(given: TrialSpec, number: int) -> TrialSpec:
    """The trial at a learning rate that is a little higher, which makes it another trial."""
    return given.model_copy(update={"learning_rate": given.learning_rate * (1 + 1e-4 * number)})


def rows() -> Iterator[Row]:
    """Trials of five seconds, and of two."""
    yield Overhead(8, Wanted(at_most=0.01), 8)
    yield Overhead(2, Wanted(at_most=0.03), 16)
