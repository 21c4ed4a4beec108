"""Peak memory of a training step on long sequences."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from benchmarks.ratios.agreement import Agreement, agreement
from benchmarks.ratios.fresh import fresh
from benchmarks.ratios.measure import Reading, Side
from benchmarks.ratios.models import M
from benchmarks.ratios.row import Row, Wanted

LONG = replace(M, length=4096, batch=1)


class Memory(Row):
    """The most that is resident during a step, beyond what is before it; fresh processes."""

    unit = "MB"
    pairs = 3

    def __init__(self, genome: str) -> None:
        self.name, self.against = f"peak memory at t = 4096, {genome}", "our torch form"
        self.genome, self.wanted, self.about = genome, Wanted(at_most=0.6), str(LONG)
        self._numbers: dict[str, dict[str, torch.Tensor]] = {}

    def side(self, kernel: str) -> Side:
        def taken() -> Reading:
            with tempfile.TemporaryDirectory() as scratch:
                numbers = Path(scratch) / "numbers.pt"
                told = fresh(
                    "benchmarks.ratios.children:memory",
                    {
                        "genome": self.genome,
                        "shape": asdict(LONG),
                        "side": kernel,
                        "numbers": str(numbers),
                    },
                )
                self._numbers[kernel] = torch.load(numbers)
            return Reading(told["bytes"], told["bytes"])

        return taken

    def sides(self) -> tuple[Side, Side]:
        return self.side("native"), self.side("torch")

    def check(self) -> Agreement:
        for kernel in ("native", "torch"):
            self.side(kernel)()
        return agreement(self._numbers["native"], self._numbers["torch"], 1e-4)


def rows() -> Iterator[Row]:
    """The three kinds of model."""
    for genome in ("gated delta", "Mamba-2", "attention"):
        yield Memory(genome)
