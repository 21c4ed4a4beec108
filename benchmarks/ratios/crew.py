"""Processes that train side by side, each told when to start: for what two workers do at once.

python -m benchmarks.ratios.crew '{"genome": …, "seeds": […], "packed": true}'
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from types import TracebackType
from typing import Any, Self

from benchmarks.ratios.measure import Reading

PARAMETERS, LENGTH = 42_000, 128  # of the first pocket rung, whose batches are of four sequences
STEPS = 20  # a reading


class Crew:
    """Two processes of one thread, each with half of the seeds, warmed up and waiting."""

    def __init__(self, genome: str, seeds: list[int], packed: bool, steps: int = STEPS) -> None:
        self._steps = steps
        half = len(seeds) // 2
        self._workers = [
            subprocess.Popen(
                [
                    *(sys.executable, "-m", "benchmarks.ratios.crew"),
                    json.dumps({"genome": genome, "seeds": own, "packed": packed, "count": steps}),
                ],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for own in (seeds[:half], seeds[half:])
        ]

    def __enter__(self) -> Self:
        for worker in self._workers:
            self._hear(worker)  # that it is warm
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for worker in self._workers:
            worker.communicate()  # at the end of its input it ends

    def __call__(self) -> Reading:
        """Seconds a step of all seeds: wall until the last is done, process of the busier one."""
        began = time.perf_counter()
        for worker in self._workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        spent = [self._hear(worker) for worker in self._workers]
        return Reading((time.perf_counter() - began) / self._steps, max(spent) / self._steps)

    @staticmethod
    def _hear(worker: subprocess.Popen[str]) -> float:
        assert worker.stdout is not None
        said = worker.stdout.readline()
        if not said:
            raise RuntimeError("a process of the crew has ended; it said why on standard error")
        return float(said)


def work(genome: str, seeds: list[int], packed: bool, count: int) -> None:
    """Warms up, says so, and for each line of input takes `count` steps and says their seconds."""
    import torch

    import palmette
    from palmette.train.pack_choice import Shape, packed_step, separate_step

    torch.set_num_threads(1)
    shape = Shape(palmette.parse(genome), PARAMETERS, 1, LENGTH, LENGTH)
    if packed:
        steps = [packed_step(shape, seeds)]
    else:
        steps = [separate_step(shape, seed, "torch") for seed in seeds]

    def run() -> float:
        began = time.process_time()
        for _ in range(count):
            for step in steps:
                step()
        return time.process_time() - began

    print(run(), flush=True)
    for _ in sys.stdin:
        print(run(), flush=True)


def main() -> None:
    given: dict[str, Any] = json.loads(sys.argv[1])
    work(**given)


if __name__ == "__main__":
    main()
