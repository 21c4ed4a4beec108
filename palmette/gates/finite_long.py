"""Long inputs stay finite."""

from __future__ import annotations

import torch

from palmette.gates._base import Gate, GateFailure, Subject, run
from palmette.gates.gradient_reach import directions

LENGTH = 512


class FiniteLong(Gate):
    """Outputs and gradients are finite at t = 512; outputs also when every token is the same.

    Random inputs, one token repeated (what a recurrence sums up then grows fastest) and, for
    layers, zeros, whose norm is a division by zero in waiting.
    """

    name = "finite_long"

    def check(self, subject: Subject) -> str:
        """The largest output."""
        x = subject.inputs(LENGTH)
        kinds = {"random input": x, "one token repeated": x[:, :1].expand_as(x) * 1}
        if subject.takes == "features":
            kinds["zeros"] = torch.zeros_like(x)
        largest = 0.0
        for kind, given in kinds.items():
            model = subject.fresh(training=True)
            with torch.set_grad_enabled(given is x):
                y = run(model, given)
            if y.shape[:2] != given.shape[:2]:
                raise GateFailure(f"gives {list(y.shape)} at t = {LENGTH}")
            if not bool(y.isfinite().all()):
                first = int((~y.isfinite()).any(-1).any(0).nonzero()[0])
                raise GateFailure(f"the output is not finite from t = {first} on ({kind})")
            largest = max(largest, float(y.detach().abs().max()))
            if y.requires_grad:
                (y * directions(y)).mean().backward()  # type: ignore[no-untyped-call]
            for name, parameter in model.named_parameters():
                if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                    raise GateFailure(f"the gradient of {name} is not finite ({kind})")
        return f"finite at t = {LENGTH}; the largest output is {largest:.3g}"
