"""Eight seeds of one genome on tiny batches, two workers: packed, against one after another."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

import palmette
from benchmarks.ratios.agreement import Agreement, agreement
from benchmarks.ratios.crew import LENGTH, PARAMETERS, Crew
from benchmarks.ratios.measure import Pair, Side, interleave
from benchmarks.ratios.row import Row, Wanted
from palmette.model import atlas, build_at, fit
from palmette.tasks import VOCABULARY
from palmette.train.pack_choice import Shape
from palmette.train.pack_program import Program
from palmette.train.segments import weighted_loss

SEEDS = list(range(8))


class Seeds(Row):
    """A step of all eight models: two packs of four, against two eager processes of four each."""

    against = "two eager processes"
    wanted = Wanted(3)
    clock = "wall"  # two processes side by side

    def __init__(self, genome: str) -> None:
        self.name = f"eight seeds of {genome}"
        self.genome = str(atlas.load(genome))
        self.about = f"{PARAMETERS:,} parameters, {LENGTH} tokens a step and seed, two workers"

    def measure(self, pairs: int) -> list[Pair]:
        with Crew(self.genome, SEEDS, True) as ours, Crew(self.genome, SEEDS, False) as theirs:
            ours(), theirs()
            return interleave(ours, theirs, pairs)

    def sides(self) -> tuple[Side, Side]:
        raise NotImplementedError("the sides are processes that have to be ended: see `measure`")

    def check(self) -> Agreement:
        """The loss and the gradients of every seed, the second and later times: then a pack plays
        what it has recorded.
        """
        genome = palmette.parse(self.genome)
        shape = Shape(genome, PARAMETERS, 1, LENGTH, LENGTH)
        place = fit(genome, PARAMETERS, VOCABULARY, LENGTH).place
        program = Program([build_at(genome, place, seed, "native").train() for seed in SEEDS])
        batches = [shape.batch(seed) for seed in SEEDS]
        inputs, targets, weights = (torch.stack(part) for part in zip(*batches, strict=True))
        program(inputs, targets, weights)
        ours = {"losses": program(inputs, targets, weights)}
        theirs: dict[str, Tensor] = {}
        losses = []
        for seed, batch in zip(SEEDS, batches, strict=True):
            model = build_at(genome, place, seed, "torch").train()
            loss = weighted_loss(model(batch[0]), *batch[1:])
            loss.backward()  # type: ignore[no-untyped-call]
            losses.append(loss.detach())
            for (name, own), packed in zip(
                model.named_parameters(), program.parameters, strict=True
            ):
                if own.grad is not None:
                    theirs[f"seed {seed}, gradient of {name}"] = own.grad
                if packed.grad is not None:
                    ours[f"seed {seed}, gradient of {name}"] = packed.grad[seed]
        return agreement(ours, theirs | {"losses": torch.stack(losses)}, 1e-4)


def rows() -> Iterator[Row]:
    """The root of campaigns, and attention."""
    for genome in (atlas.root, "llama"):
        yield Seeds(genome)
