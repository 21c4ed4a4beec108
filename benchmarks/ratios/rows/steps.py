"""Whole training steps of one model: forward, loss, backward, clip, AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from benchmarks.ratios.agreement import Agreement, agreement
from benchmarks.ratios.measure import Reading, Side, timed
from benchmarks.ratios.models import (
    M,
    S,
    Shape,
    data,
    model,
    numbers,
    palmette_step,
    plain_step,
    trained,
)
from benchmarks.ratios.row import Row, Wanted
from benchmarks.ratios.rows.first_use import build_seconds
from benchmarks.ratios.theirs import transplant


def untouched(model: nn.Module) -> nn.Module:
    """Our torch form is plain torch already."""
    return model


class Step(Row):
    """A model of ours against the same model, with the same weights, in plain eager torch."""

    def __init__(
        self,
        genome: str,
        shape: Shape,
        against: str,
        wanted: Wanted,
        change: Callable[[nn.Module], nn.Module],
        build_over: int | None = None,
    ) -> None:
        self.name = f"{genome} step, {shape.name}"
        self.genome, self.shape, self.change = genome, shape, change
        self.against, self.wanted, self.about = against, wanted, str(shape)
        self.build_over, self.build = build_over, 0.0
        if build_over:
            self.about += f"; with its share of the build, over {build_over:,} tokens"

    def prepare(self) -> None:
        self.batch = data(self.shape)
        if self.build_over:
            self.build = build_seconds(self.genome)

    def models(self) -> tuple[nn.Module, nn.Module]:
        theirs = self.change(model(self.genome, self.shape, "torch"))
        return model(self.genome, self.shape, "native"), theirs

    def steps(self) -> tuple[Callable[[], float], Callable[[], float]]:
        ours, theirs = self.models()
        return palmette_step(ours, self.batch, "native"), plain_step(theirs, self.batch)

    def sides(self) -> tuple[Side, Side]:
        ours, theirs = self.steps()
        share = (
            self.build * self.batch.targets.numel() / self.build_over if self.build_over else 0.0
        )
        return with_more(timed(ours), share), timed(theirs)

    def check(self) -> Agreement:
        ours, theirs = (numbers(one, self.batch) for one in self.models())
        further = [trained(step) for step in self.steps()]
        return agreement(ours | further[0], theirs | further[1], 1e-4)

    def notes(self) -> dict[str, Any]:
        built = model(self.genome, self.shape, "torch")
        parameters = sum(p.numel() for p in built.parameters())
        tokens = self.shape.batch * self.shape.length
        told = {"parameters": parameters, "6NT GFLOP": 6e-9 * parameters * tokens}
        return told | ({"build, s": self.build} if self.build_over else {})


def with_more(side: Side, seconds: float) -> Side:
    """A side whose readings are longer by so much."""

    def more() -> Reading:
        reading = side()
        return Reading(reading.wall + seconds, reading.process + seconds)

    return more


def rows() -> Iterator[Row]:
    """The three kinds of model at both shapes."""
    for shape in (S, M):
        yield Step("gated delta", shape, "with transformers' operator", Wanted(2.5), transplant)
        yield Step("Mamba-2", shape, "with transformers' scan", Wanted(1.8), transplant)
        yield Step("attention", shape, "plain eager torch", Wanted(1.5), untouched, 2_000_000)
