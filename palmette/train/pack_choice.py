"""What packing gains: a step of a pack against as many steps of a model by itself, timed here."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from palmette.errors import PalmetteError
from palmette.grammar.genome import Genome
from palmette.model import build_at, fit
from palmette.ops.kernels.native.library import unavailable
from palmette.tasks import VOCABULARY
from palmette.train.loop import one_thread
from palmette.train.optimizer import make_optimizer
from palmette.train.pack import MOST_TOKENS
from palmette.train.pack_program import Program, UnpackableError
from palmette.train.segments import losses

PAIRS = 8
IN_A_ROW = 3
WARM = 2  # steps before; in the first a pack is recorded
LEAST_GAIN = 1.1  # below which trials stay on their own

Step = Callable[[], None]


@dataclass(frozen=True)
class Shape:
    """What is trained: a genome of about so many parameters on batches [rows length]."""

    genome: Genome
    parameters: int
    rows: int
    length: int
    context: int

    def batch(self, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs and targets [b t] out of nothing, and weights [b]."""
        generator = torch.Generator().manual_seed(seed)
        ids = torch.randint(VOCABULARY, (2, self.rows, self.length), generator=generator)
        return ids[0], ids[1], torch.full((self.rows,), 1 / (self.rows * self.length))


@dataclass(frozen=True)
class Choice:
    """Whether to pack, what was gained where it was tried (separate over packed seconds), why."""

    packed: bool
    gain: float | None
    reason: str


def packed_step(shape: Shape, seeds: Sequence[int], rate: float = 1e-3) -> Step:
    """What trains native models of these seeds together by one step, each time it is called.

    Raises `UnpackableError`, also the first time it is called.
    """
    place = fit(shape.genome, shape.parameters, VOCABULARY, shape.context).place
    program = Program([build_at(shape.genome, place, seed, "native").train() for seed in seeds])
    optimizer = program.optimizer()
    parts = zip(*map(shape.batch, seeds), strict=True)
    inputs, targets, weights = (torch.stack(part) for part in parts)

    def step() -> None:
        program(inputs, targets, weights).tolist()
        optimizer.step([rate] * len(seeds))

    return step


def separate_step(shape: Shape, seed: int, kernel: str = "native", rate: float = 1e-3) -> Step:
    """What trains one model by one step, each time it is called."""
    place = fit(shape.genome, shape.parameters, VOCABULARY, shape.context).place
    model = build_at(shape.genome, place, seed, kernel).train()
    optimizer = make_optimizer(list(model.parameters()), kernel)
    inputs, targets, weights = shape.batch(seed)
    rng = np.random.default_rng(seed)

    def step() -> None:
        for loss in losses(model, inputs, targets, weights, rng, kernel):
            loss.item()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(rate)

    return step


def choose(shape: Shape, members: int, steps: int) -> Choice:
    """Whether trials of `steps` steps are better trained as packs of `members`.

    A second or so of processor time: medians of steps taken by turns, the recording counted in.
    """
    if shape.rows * shape.length > MOST_TOKENS:
        return Choice(False, None, f"a step has more than {MOST_TOKENS} tokens")
    if reason := unavailable():
        return Choice(False, None, f"there are no native kernels: {reason}")
    try:
        with one_thread():
            gain = measured(shape, members, steps)
    except UnpackableError as error:
        return Choice(False, None, str(error))
    except PalmetteError as error:  # a stranger's class, which is not built here
        return Choice(False, None, f"it cannot be tried here: {error}")
    return Choice(gain >= LEAST_GAIN, gain, f"{gain:.2f} times as fast in packs of {members}")


def measured(shape: Shape, members: int, steps: int) -> float:
    """Seconds of separate trials over those of a pack of them. Raises `UnpackableError`."""
    packed_step(shape, range(members))()  # loads what a worker has loaded before it forks
    together, alone = packed_step(shape, range(members)), separate_step(shape, 0)
    recording = seconds_of(together)
    for step in (together, alone) * WARM:
        step()
    # Several at a time: the first one meets the other's data in the caches.
    pairs = [(seconds_of(together, IN_A_ROW), seconds_of(alone, IN_A_ROW)) for _ in range(PAIRS)]
    packed = statistics.median(pair[0] for pair in pairs)
    separate = statistics.median(pair[1] for pair in pairs)
    return members * steps * separate / (recording + steps * packed)


def seconds_of(step: Step, times: int = 1) -> float:
    """Processor seconds of one call, of several in a row."""
    began = time.process_time()
    for _ in range(times):
        step()
    return (time.process_time() - began) / times
