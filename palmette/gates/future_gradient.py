"""The future leak, seen by differentiating."""

from __future__ import annotations

import torch
from torch import Tensor

from palmette.gates._base import Gate, GateFailure, Subject, modes
from palmette.gates._features import slopes
from palmette.grammar.types import Effect

LENGTHS = (33, 80)
TOLERANCE = 1e-4


class FutureGradient(Gate):
    """No output has a gradient in a later input: the whole map of outputs against inputs.

    Row r of a batch of identical sequences is differentiated at position r alone, so one backward
    pass gives the map for every position. It is taken in training and in evaluation mode, with the
    weights as they start and with shaken ones. Relative to the largest gradient the future may have
    1e-4: a chunked decay measures from the middle of its chunk, a term that cancels but for
    rounding, and 1e-6 of that was seen.
    """

    name = "future_gradient"
    rounds = True
    needs = frozenset({Effect.CAUSAL})

    def check(self, subject: Subject) -> str:
        """The largest share of the gradient that any later input has."""
        worst, maps = 0.0, 0
        for number, length in enumerate(LENGTHS):
            for training in (False, True):
                model = subject.fresh(training=training, shaken=training == bool(number))
                x = subject.inputs(length, rows=1).repeat_interleave(length, 0)
                for found in self._maps(model, x):
                    maps += 1
                    share, output, source = latest(found)
                    if not share <= TOLERANCE:
                        raise GateFailure(
                            f"output {output} has a gradient in the later input {source}, "
                            f"{share:.1e} of the largest (t = {length}, {modes(training)} mode)"
                        )
                    worst = max(worst, share)
        if not maps:
            raise GateFailure("no output has a gradient in any input")
        return f"{maps} maps up to t = {LENGTHS[-1]}; later inputs have at most {worst:.0e} of it"

    def _maps(self, model: torch.nn.Module, x: Tensor) -> list[Tensor]:
        length = x.shape[1]
        place = torch.arange(length)

        def own(y: Tensor) -> Tensor:
            weights = torch.randn(y.shape[-1], generator=torch.Generator().manual_seed(1))
            return (y[place, place] * weights).sum()

        return [
            slope.flatten(2).norm(dim=-1) for _, slope in slopes(model, x, own) if slope is not None
        ]


def latest(found: Tensor) -> tuple[float, int, int]:
    """The largest gradient [t t] above the diagonal, as a share of all, with output and input."""
    largest = float(found.max())
    if not bool(found.isfinite().all()):
        raise GateFailure(f"the gradient in the inputs is not finite at t = {len(found)}")
    above = found.triu(1)
    output, source = divmod(int(above.argmax()), len(found))
    return (float(above.max()) / largest if largest else 0.0), output, source
