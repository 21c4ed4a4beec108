"""Behaviours that the literature reports of architectures, trained for real, with their margins.

    python benchmarks/signatures.py                       # all, on two processes, resumable
    python benchmarks/signatures.py --only parity s3 --seeds 5
    python benchmarks/signatures.py --table               # what the results file holds

Two arms that differ in one thing are trained alike: equal parameters (the width is fitted, the
depth is the behaviour's own), tokens and data. Each arm gets three learning rates on seed 0, the
best on `select` is frozen, and fresh seeds are measured on `score`. A behaviour is *seen* if the
lower end of the 95 % interval (Welch) of the difference lies above its margin. Each run is one line
of the results file; what is there is not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import stats

import palmette
from palmette.grammar.genome import Genome
from palmette.model import build_at, cost
from palmette.ops._base import Place
from palmette.records import TrialSpec
from palmette.tasks import IGNORE, VOCABULARY, Split, Suite, suite
from palmette.train.clock import Clock
from palmette.train.evaluate import evaluate
from palmette.train.loop import train
from palmette.train.seeding import NUMERICS, weights_seed

EVALUATION_TOKENS = 32_768

Measure = Callable[[torch.nn.Module, Suite, Split, int], float]


@dataclass(frozen=True)
class Arm:
    """One side of a comparison."""

    label: str
    genome: str
    depth: int


@dataclass(frozen=True)
class Behaviour:
    """A claim: `high` exceeds `low` in the measure by more than `margin`.

    A negative margin claims that `high` is no worse than `low` by more than that.
    """

    name: str
    claim: str
    source: str
    suite: str
    high: Arm
    low: Arm
    margin: float
    what: str  # the measure in words
    measure: Measure
    parameters: int = 42_000
    tokens: int = 1_000_000
    length: int = 128
    batch: int = 8
    rates: tuple[float, ...] = (0.002, 0.005, 0.012)

    @property
    def arms(self) -> tuple[Arm, Arm]:
        """Both sides."""
        return self.high, self.low


@dataclass(frozen=True)
class Run:
    """One training of one arm."""

    behaviour: str
    arm: str
    rate: float
    seed: int

    @property
    def key(self) -> str:
        """What a line of the results file is found by."""
        return f"{self.behaviour}/{self.arm}/{self.rate:g}/{self.seed}"


def bucket(last: int) -> Measure:
    """Accuracy in the bucket of prefixes that ends at `last`."""

    def measured(model: torch.nn.Module, mixture: Suite, split: Split, length: int) -> float:
        metrics = evaluate(model, mixture, None, split, length, EVALUATION_TOKENS)
        (one,) = metrics.values()
        return one.by_length[last]

    return measured


def accuracy(model: torch.nn.Module, mixture: Suite, split: Split, length: int) -> float:
    """Accuracy over all answers."""
    (one,) = evaluate(model, mixture, None, split, length, EVALUATION_TOKENS).values()
    return one.accuracy


def beyond(lag: int) -> Measure:
    """Accuracy of the answers whose key was seen last more than `lag` tokens ago."""

    @torch.no_grad()
    def measured(model: torch.nn.Module, mixture: Suite, split: Split, length: int) -> float:
        right = asked = 0
        (task,) = mixture.tasks
        for batch in mixture.evaluation(task, None, split, length, 4 * EVALUATION_TOKENS):
            guess = model(torch.from_numpy(batch.inputs)).argmax(-1).numpy()
            for row, column in zip(*np.nonzero(batch.targets != IGNORE), strict=True):
                before = np.flatnonzero(batch.inputs[row, :column] == batch.inputs[row, column])
                if column - before[-1] > lag:
                    asked += 1
                    right += guess[row, column] == batch.targets[row, column]
        return right / asked

    return measured


def attention(window: int, conv: bool = False) -> str:
    """A Llama whose attention sees so many tokens, perhaps with a short convolution before it."""
    before = "pre(conv()), " if conv else ""
    return f"stack({before}pre(attn(heads=2, positions='rope', window={window})), pre(glu()))"


def loops(slow: int, fast: int) -> str:
    """A tiny recursive model that looks both ways, with so many cycles and all their gradients."""
    return (
        "seq2seq(hloop(stack(post(attn(positions='rope', mask='none')), post(glu())), "
        f"slow_cycles={slow}, fast_cycles={fast}, gradient='all'))"
    )


def delta(knobs: str) -> str:
    """A DeltaNet with these knobs."""
    return f"stack(pre(lin({knobs})), pre(glu()))"


GATED = "lin(key_ratio=3/4, value_ratio=3/2, decay='scalar', erase='beta', out_gate='silu')"
BEHAVIOURS = (
    Behaviour(
        name="parity",
        claim="a delta rule follows parity with beta in (0, 2) and not with beta in (0, 1)",
        source="arXiv 2411.12537",
        suite="parity",
        high=Arm("beta2", delta("erase='beta2'"), 2),
        low=Arm("beta", delta("erase='beta'"), 2),
        margin=0.1,
        what="accuracy on prefixes of 65 to 128 bits, trained on at most 40",
        measure=bucket(128),
        tokens=1_200_000,
    ),
    Behaviour(
        name="s3",
        claim="one layer of two reflections a token follows S3 with beta in (0, 2) and not (0, 1)",
        source="arXiv 2502.10297",
        suite="words",
        high=Arm("beta2", delta("erase='beta2', householders=2"), 1),
        low=Arm("beta", delta("erase='beta', householders=2"), 1),
        margin=0.1,
        what="accuracy on prefixes of 25 to 64 factors, trained on at most 24",
        measure=bucket(64),
        tokens=1_500_000,
    ),
    Behaviour(
        name="window",
        claim="a sliding window fails recall past its window",
        source="arXiv 2312.04927 (Zoology, its figure of accuracy by state size)",
        suite="recall",
        high=Arm("full", attention(0, conv=True), 2),
        low=Arm("window 16", attention(16, conv=True), 2),
        margin=0.5,
        what="accuracy where the key was seen more than 40 tokens ago (two layers reach 36 back)",
        measure=beyond(40),
        length=256,
    ),
    Behaviour(
        name="layers",
        claim="one layer of attention stays at chance on recall, two solve it",
        source="arXiv 2209.11895 (induction heads), 2508.19029",
        suite="recall",
        high=Arm("two layers", attention(0), 2),
        low=Arm("one layer", attention(0), 1),
        margin=0.3,
        what="accuracy among two pairs (chance 0.5)",
        measure=accuracy,
        tokens=6_000_000,
        length=64,
        batch=32,
        rates=(0.0015, 0.003, 0.006),
    ),
    Behaviour(
        name="hybrid",
        claim="a hybrid is no worse than its recurrent parent on recall",
        source="arXiv 2412.06464",
        suite="recall",
        high=Arm(
            "hybrid",
            f"every(4, seq(pre({GATED}), pre(glu())), seq(pre(attn(positions='rope', "
            "qk_norm='rms', gate='element')), pre(glu())))",
            4,
        ),
        low=Arm("gated_deltanet", f"stack(pre({GATED}), pre(glu()))", 4),
        margin=-0.05,
        what="accuracy",
        measure=accuracy,
        parameters=84_000,
        length=256,
    ),
    Behaviour(
        name="sudoku",
        claim="on 4x4 Sudoku more loops of the same weights beat fewer",
        source="arXiv 2510.04871, 2506.21734",
        suite="sudoku",
        high=Arm("3 x 3 cycles", loops(3, 3), 2),
        low=Arm("1 x 1 cycle", loops(1, 1), 2),
        margin=0.02,
        what="accuracy at the blanks of grids not seen in training",
        measure=accuracy,
        tokens=500_000,
        length=17,
        batch=32,
    ),
)


def place_of(genome: Genome, depth: int, parameters: int, context: int) -> Place:
    """The place of this depth whose size comes nearest to `parameters`."""
    places = [
        Place(width=width, depth=depth, hidden=1.0, vocabulary=VOCABULARY, context=context)
        for width in range(8, 257, 2)
    ]
    return min(places, key=lambda place: abs(cost(genome, place, 1).parameters - parameters))


def perform(run: Run) -> dict[str, object]:
    """Trains and measures one arm."""
    torch.set_num_threads(1)
    behaviour = next(one for one in BEHAVIOURS if one.name == run.behaviour)
    arm = next(one for one in behaviour.arms if one.label == run.arm)
    genome = palmette.parse(arm.genome)
    mixture = suite(behaviour.suite)
    place = place_of(genome, arm.depth, behaviour.parameters, mixture.context(behaviour.length))
    spec = TrialSpec(
        genome=genome.hash,
        expression=genome.text,
        rung="signature",
        rung_digest="signature",
        parameters=behaviour.parameters,
        tokens=behaviour.tokens,
        batch_size=behaviour.batch,
        length=behaviour.length,
        evaluation_tokens=EVALUATION_TOKENS,
        suite=behaviour.suite,
        suite_digest=mixture.digest(None),
        seed=run.seed,
        learning_rate=run.rate,
        numerics=NUMERICS,
    )
    model = build_at(genome, place, weights_seed(spec))
    began = time.process_time()
    curve = train(model, spec, mixture, None, Clock())
    values = {
        split.value: behaviour.measure(model, mixture, split, behaviour.length)
        for split in (Split.SELECT, Split.SCORE)
    }
    return {
        "key": run.key,
        **values,
        "loss_nats": curve[-1].loss_nats,
        "parameters": cost(genome, place, 1).parameters,
        "width": place.width,
        "tokens": curve[-1].tokens,
        "cpu_seconds": time.process_time() - began,
    }


def wanted(behaviour: Behaviour, done: dict[str, dict[str, float]], seeds: int) -> list[Run]:
    """What is still to be run for a behaviour, as far as results allow to say."""
    runs = []
    for arm in behaviour.arms:
        sweep = [Run(behaviour.name, arm.label, rate, 0) for rate in behaviour.rates]
        missing = [run for run in sweep if run.key not in done]
        if missing:
            runs += missing
            continue
        best = max(sweep, key=lambda run: done[run.key]["select"])
        fresh = [
            Run(run.behaviour, run.arm, best.rate, 1 + n) for n in range(seeds) for run in [best]
        ]
        runs += [run for run in fresh if run.key not in done]
    return runs


def row(behaviour: Behaviour, done: dict[str, dict[str, float]], seeds: int) -> dict[str, object]:
    """The verdict on a behaviour; what is not measured is None."""
    values = []
    rates = []
    for arm in behaviour.arms:
        sweep = [Run(behaviour.name, arm.label, rate, 0) for rate in behaviour.rates]
        if any(run.key not in done for run in sweep):
            return {"behaviour": behaviour.name, "verdict": "not run"}
        best = max(sweep, key=lambda run: done[run.key]["select"]).rate
        keys = [Run(behaviour.name, arm.label, best, 1 + n).key for n in range(seeds)]
        if any(key not in done for key in keys):
            return {"behaviour": behaviour.name, "verdict": "not run"}
        values.append([done[key]["score"] for key in keys])
        rates.append(best)
    high, low = values
    found = stats.ttest_ind(high, low, equal_var=False).confidence_interval(0.95)
    lower = (
        float(found.low) if np.isfinite(found.low) else statistics.mean(high) - statistics.mean(low)
    )
    return {
        "behaviour": behaviour.name,
        "claim": behaviour.claim,
        "source": behaviour.source,
        "measure": behaviour.what,
        "high": {"arm": behaviour.high.label, "rate": rates[0], "values": high},
        "low": {"arm": behaviour.low.label, "rate": rates[1], "values": low},
        "difference": statistics.mean(high) - statistics.mean(low),
        "interval": [lower, float(found.high)],
        "margin": behaviour.margin,
        "verdict": "seen" if lower > behaviour.margin else "not seen",
    }


def table(rows: list[dict[str, object]]) -> str:
    """The verdicts for people."""
    lines = []
    for one in rows:
        lines.append(f"{one['behaviour']}: {one['verdict']}")
        if "high" not in one:
            continue
        lines.append(f"  {one['claim']} ({one['source']}); {one['measure']}")
        for side in ("high", "low"):
            arm = one[side]
            assert isinstance(arm, dict)
            values = arm["values"]
            lines.append(
                f"  {arm['arm']:>16}: {statistics.mean(values):.3f}  "
                f"[{min(values):.3f} .. {max(values):.3f}] over {len(values)} seeds, "
                f"rate {arm['rate']:g}"
            )
        assert isinstance(one["interval"], list)
        low, high = one["interval"]
        lines.append(
            f"  difference {one['difference']:+.3f} [{low:+.3f}, {high:+.3f}], "
            f"wanted above {one['margin']:+.2f}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=[one.name for one in BEHAVIOURS])
    parser.add_argument("--seeds", type=int, default=3, help="fresh seeds an arm")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--results", type=Path, default=Path("benchmarks/results/signatures.jsonl"))
    parser.add_argument("--table", action="store_true", help="run nothing")
    options = parser.parse_args()
    chosen = [one for one in BEHAVIOURS if one.name in options.only]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    done: dict[str, dict[str, float]] = {}
    if options.results.exists():
        lines = [json.loads(line) for line in options.results.read_text().splitlines()]
        done = {line["key"]: line for line in lines}
    os.environ["OMP_NUM_THREADS"] = "1"
    while not options.table:
        runs = [run for one in chosen for run in wanted(one, done, options.seeds)]
        if not runs:
            break
        with ProcessPoolExecutor(options.processes) as pool:
            for future in as_completed([pool.submit(perform, run) for run in runs]):
                result = future.result()
                done[str(result["key"])] = result  # type: ignore[assignment]
                with options.results.open("a") as file:
                    file.write(json.dumps(result) + "\n")
                print(json.dumps(result), file=sys.stderr, flush=True)
    print(table([row(one, done, options.seeds) for one in chosen]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
