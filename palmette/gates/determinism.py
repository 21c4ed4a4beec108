"""The same input gives the same output."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from palmette.gates._base import Gate, GateFailure, Subject, run, scale_of

LENGTHS = (40, 7)
TOLERANCE = 1e-6
CALLS = 4


class Determinism(Gate):
    """In evaluation mode the same input gives the same output, whatever came before it.

    Compared with the first call of a fresh module: a second call, calls after other inputs and
    other lengths, a call after training mode with a backward pass, one without gradients, one by
    another fresh module, and one by a module that has met another input first. Nothing may be drawn
    from the generators of torch and numpy. In training mode the same seed of torch has to
    give the same output. Relative to the largest output 1e-6 is allowed, for sums whose order
    depends on where in memory their terms are.
    """

    name = "determinism"
    rounds = True

    def check(self, subject: Subject) -> str:
        """What was compared."""
        for length in LENGTHS:
            x = subject.inputs(length, rows=3)
            model = subject.fresh()
            drawn = generators()
            first = model(x).detach().clone()
            if generators() != drawn:
                raise GateFailure("draws random numbers in evaluation mode")
            scale = scale_of(first)
            with torch.no_grad():
                compare(first, model(x), scale, "without gradients")
            compare(first, model(x), scale, "in a second call")
            for number in range(CALLS):
                model(subject.inputs(LENGTHS[number % 2], rows=1 + number % 3, seed=number))
                compare(first, model(x), scale, f"after {number + 1} other inputs")
            self._trained(model, subject, length)
            compare(first, model(x), scale, "after a pass in training mode")
            compare(first, subject.fresh()(x), scale, "from another fresh module")
            other = subject.fresh()
            elsewhere = subject.inputs(length, seed=7)
            other(2 * elsewhere if elsewhere.is_floating_point() else elsewhere)
            compare(first, other(x), scale, "if another input came first")
            learner = subject.fresh(training=True)
            compare(run(learner, x), run(learner, x), scale, "from the same seed in training mode")
        return f"{CALLS + 5} further calls give what the first one gave"

    def _trained(self, model: nn.Module, subject: Subject, length: int) -> None:
        model.train()
        y = run(model, subject.inputs(length, rows=2, seed=99))
        if y.requires_grad:
            y.square().mean().backward()  # type: ignore[no-untyped-call]
        model.eval()


def compare(first: Tensor, again: Tensor, scale: float, when: str) -> None:
    """Raises `GateFailure` if two outputs differ."""
    difference = float((first - again).detach().abs().max()) / scale
    if not difference <= TOLERANCE:
        raise GateFailure(f"gives another output {when}: {difference:.1e} of the largest")


def generators() -> tuple[object, ...]:
    """The states of the global generators. (Python's own is drawn from by type checkers.)"""
    torch_state = torch.get_rng_state().numpy().tobytes()
    legacy = np.random.get_state(legacy=True)
    return torch_state, str(legacy)
