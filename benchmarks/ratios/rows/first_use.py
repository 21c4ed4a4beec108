"""The first use of a new genome: nothing is built or compiled before."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.ratios.agreement import Agreement, agreement
from benchmarks.ratios.fresh import fresh
from benchmarks.ratios.measure import Reading, Side
from benchmarks.ratios.models import S
from benchmarks.ratios.row import Row, Wanted

LIMIT_SECONDS = 1.5


def use(genome: str, side: str, folder: Path | None = None) -> dict[str, Any]:
    """A first step in a fresh process with empty caches, or with those in `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        caches = folder or Path(scratch)
        numbers = Path(scratch) / "numbers.pt"
        told = fresh(
            "benchmarks.ratios.children:first_use",
            {"genome": genome, "shape": asdict(S), "side": side, "numbers": str(numbers)},
            {
                "PALMETTE_KERNELS": str(caches / "kernels"),
                "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor"),
            },
        )
        return told | {"numbers": torch.load(numbers)}


def build_seconds(genome: str) -> float:
    """What building all kernels of a genome adds to its first step, wall time."""
    with tempfile.TemporaryDirectory() as scratch:
        first, later = (use(genome, "native", Path(scratch))["wall"] for _ in range(2))
    return max(0.0, first - later)


class FirstUse(Row):
    """Up to the end of the first training step, beyond importing torch."""

    unit = "s"
    clock = "wall"  # compilers run in processes of their own, and beside one another

    def __init__(self, genome: str, pairs: int, against: str, wanted: Wanted) -> None:
        self.name = f"first use of a genome, {genome}"
        self.genome, self.pairs = genome, pairs
        self.against, self.wanted = against, wanted
        self.about = f"{S}; a fresh process, empty caches, from `import torch` on"
        self._processor: dict[str, list[float]] = {}
        self._checked: dict[str, dict[str, Any]] = {}
        self.caches: dict[str, Path] = {}  # of a side that does not begin with empty ones

    def sides(self) -> tuple[Side, Side]:
        return self.side("native"), self.side("inductor")

    def side(self, kind: str) -> Side:
        def taken() -> Reading:
            told = self._checked.pop(kind, None) or use(self.genome, kind, self.caches.get(kind))
            self._processor.setdefault(kind, []).append(round(told["process"], 2))
            return Reading(told["wall"], told["process"])

        return taken

    def check(self) -> Agreement:
        """The loss and the gradients of the first step; what it took is the first reading."""
        ours, theirs = (use(self.genome, kind, self.caches.get(kind)) for kind in self.compared)
        self._checked.update(zip(self.compared, (ours, theirs), strict=True))
        return agreement(ours["numbers"], theirs["numbers"], 1e-4)

    compared = ("native", "inductor")

    def notes(self) -> dict[str, Any]:
        """Processor seconds say more on a busy machine; those of inductor leave out the processes
        that it compiles in beside its own.
        """
        return {f"processor seconds, {kind}": taken for kind, taken in self._processor.items()}


class Absolute(FirstUse):
    """Ours alone, against the limit."""

    def sides(self) -> tuple[Side, Side]:
        return self.side("native"), lambda: Reading(LIMIT_SECONDS, LIMIT_SECONDS)

    compared = ("native", "torch")


class Later(FirstUse):
    """With the kernels there already, as after any other genome: they are made for no one size."""

    def __init__(self, genome: str, pairs: int, against: str, wanted: Wanted) -> None:
        super().__init__(genome, pairs, against, wanted)
        self.name = f"the same, kernels there before, {genome}"
        self.about = f"{S}; a fresh process, palmette's kernels built before, no other cache"

    def prepare(self) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self.caches["native"] = Path(self._folder.name)
        use(self.genome, "native", self.caches["native"])


def rows() -> Iterator[Row]:
    """The gated delta model has the most kernels, the attention model compiles fastest."""
    yield Absolute("gated delta", 6, "1.5 s", Wanted(at_most=1))
    yield Absolute("attention", 6, "1.5 s", Wanted(at_most=1))
    yield FirstUse("attention", 2, "inductor, cold", Wanted(20))
    yield Later("attention", 1, "inductor, cold", Wanted(20))
    yield FirstUse("gated delta", 1, "inductor, cold", Wanted(20))
