"""Saturated gates stay finite."""

from __future__ import annotations

import torch
from torch import nn

from palmette.gates._base import Gate, GateFailure, Subject, run
from palmette.gates._features import fed
from palmette.gates.gradient_reach import directions

LENGTH = 64
MATRICES, LARGEST = 100.0, 30.0
VECTORS = 10.0
INPUTS = 1000.0


class FiniteExtreme(Gate):
    """Outputs and gradients stay finite when weights, biases or inputs are pushed far.

    One at a time: every matrix times 100, but no weight beyond 30 (gates saturate, an exponential
    without a bound overflows; a matrix of log rates stays one of rates), every vector plus 10 and
    minus 10 (biases, decay rates), features times 1000. fp32 reaches 1e38, so products of a few
    such numbers fit; what does not fit is an exponential, or a division by what vanishes.
    """

    name = "finite_extreme"

    def check(self, subject: Subject) -> str:
        """What was pushed."""
        pushes = {
            f"matrices x {MATRICES:g}": (MATRICES, 0.0, 1.0),
            f"vectors + {VECTORS:g}": (1.0, VECTORS, 1.0),
            f"vectors - {VECTORS:g}": (1.0, -VECTORS, 1.0),
            f"features x {INPUTS:g}": (1.0, 0.0, INPUTS),
        }
        for what, (factor, shift, feature_factor) in pushes.items():
            model = subject.fresh(training=True)
            push(model, factor, shift)
            x = subject.inputs(LENGTH)
            if feature_factor == 1.0:
                y = run(model, x)
            else:
                tapped = fed(model, x, lambda features, f=feature_factor: f * features)  # type: ignore[misc]
                if tapped is None:
                    continue
                y = tapped
            if not bool(y.isfinite().all()):
                raise GateFailure(f"the output is not finite ({what})")
            if y.requires_grad:
                (y * directions(y)).mean().backward()  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters():
                if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                    raise GateFailure(f"the gradient of {name} is not finite ({what})")
        return f"finite with {', '.join(pushes)}"


@torch.no_grad()
def push(model: nn.Module, factor: float, shift: float) -> None:
    """Multiplies matrices and shifts vectors."""
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            limit = parameter.abs().clamp(min=LARGEST)  # what is larger from the start stays
            parameter.copy_((factor * parameter).clamp(-limit, limit))
        else:
            parameter.add_(shift)
