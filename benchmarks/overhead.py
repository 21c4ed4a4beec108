"""How much of a worker's time is not forward, backward, optimiser or evaluation.

    python benchmarks/overhead.py [--seconds 2 5 15] [--repeats 5] [--workers 2] [--genome TEXT]
                                  [--kernel native]

Trials of about the given lengths go through the real pool, measured from their submission to the
report of their end. As in a campaign they have one seed, so that their sequences are drawn once,
and one process runs many. Printed are medians over the repeats, with the range of the share.
"""

from __future__ import annotations

import argparse
from statistics import median

import palmette
from palmette.ops.forms import KERNELS
from palmette.records import TrialSpec
from palmette.tasks import load_corpus
from palmette.train.executor import Finished
from palmette.train.machine import machine
from palmette.train.pool import Pool
from palmette.train.seeding import NUMERICS

USEFUL = ("forward", "backward", "optimizer", "evaluation")
LENGTH, BATCH_SIZE = 128, 4  # as on the pocket rungs
EVALUATION_SHARE = 6  # training tokens to evaluation tokens, as on the first pocket rung


def make_spec(text: str, kernel: str, tokens: int, number: int) -> TrialSpec:
    genome = palmette.parse(text)
    return TrialSpec(
        genome=genome.hash,
        expression=str(genome),
        rung="benchmark",
        rung_digest="none",
        parameters=42_000,
        tokens=tokens,
        batch_size=BATCH_SIZE,
        length=LENGTH,
        evaluation_tokens=max(1024, tokens // EVALUATION_SHARE),
        suite="pocket",
        suite_digest="none",
        seed=0,
        learning_rate=6e-3 * (1 + 1e-4 * number),
        kernel=kernel,
        numerics=NUMERICS,
    )


def run(pool: Pool, specs: list[TrialSpec]) -> list[Finished]:
    waiting, ended = list(specs), []
    while waiting or pool.free < pool.workers:
        while waiting and pool.free:
            pool.submit(waiting.pop())
        ended += pool.wait()
    for finished in ended:
        assert finished.result, finished.reason
    return ended


def share(finished: Finished) -> float:
    assert finished.result
    useful = sum(finished.result.phases[phase] for phase in USEFUL)
    return 1 - useful / finished.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="+", default=[2, 5, 15])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--genome", default="stack(pre(lin(erase='beta')), pre(glu()))")
    parser.add_argument("--kernel", default="native", choices=KERNELS)
    given = parser.parse_args()

    print(f"{machine(given.kernel)}; {given.workers} workers; {given.genome}")
    print("wanted s   took s   outside (range)      process  build  data  report  unaccounted, ms")
    begun = 0
    with Pool(given.workers, load_corpus().directory) as pool:
        tokens = 60_000
        # The first trials wait for the server to start, the last say how fast this machine is.
        for _ in range(3):
            took = run(
                pool,
                [make_spec(given.genome, given.kernel, tokens, n) for n in range(given.workers)],
            )
        rate = tokens / median(finished.seconds for finished in took)
        for seconds in given.seconds:
            numbers = range(begun, begun := begun + given.repeats * given.workers)
            ended = run(
                pool,
                [make_spec(given.genome, given.kernel, round(rate * seconds), n) for n in numbers],
            )
            shares = sorted(map(share, ended))
            results = [finished.result for finished in ended if finished.result]
            parts = [
                median(1000 * result.phases[phase] for result in results)
                for phase in ("process", "build", "data", "report")
            ]
            rest = median(
                1000 * (finished.seconds - sum(result.phases.values()))
                for finished, result in zip(ended, results, strict=True)
            )
            print(
                f"{seconds:8g} {median(f.seconds for f in ended):8.2f}"
                f"   {median(shares):6.2%} ({shares[0]:.2%}-{shares[-1]:.2%})"
                + "".join(f"{part:8.1f}" for part in (*parts, rest))
            )


if __name__ == "__main__":
    main()
