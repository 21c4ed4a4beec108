"""Every parameter learns."""

from __future__ import annotations

import torch
from torch import Tensor

from palmette.gates._base import Gate, GateFailure, Subject, run

LENGTHS = (63, 100, 200, 300)


class GradientReach(Gate):
    """Every parameter gets a gradient that is finite and not zero, but for a declared list.

    The loss is the output in random directions; lengths are 63 to 300, with several inputs, so that
    experts, far positions and rare table rows are reached. What is not reached with the weights as
    they start (behind a zero, say) is asked again with shaken weights; a parameter that neither
    reaches is dead.
    """

    name = "gradient_reach"

    def check(self, subject: Subject) -> str:
        """How many parameters were reached."""
        names = [name for name, p in subject.fresh().named_parameters() if p.requires_grad]
        if not names:
            raise GateFailure("has no trainable parameter")
        missing = set(names) - subject.unreached
        for shaken in (False, True):
            for number, length in enumerate(LENGTHS):
                if missing or number == 0:
                    missing -= self._reached(subject, length, shaken)
            if not missing:
                break
        if missing:
            listed = ", ".join(sorted(missing)[:6]) + (" …" if len(missing) > 6 else "")
            raise GateFailure(f"{len(missing)} of {len(names)} get no gradient: {listed}")
        told = f", {len(subject.unreached)} declared without" if subject.unreached else ""
        return f"{len(names)} parameter tensors get a gradient{told}"

    def _reached(self, subject: Subject, length: int, shaken: bool) -> set[str]:
        model = subject.fresh(training=True, shaken=shaken)
        y = run(model, subject.inputs(length, rows=4, seed=length))
        if not y.requires_grad:
            raise GateFailure("its output does not depend on any parameter")
        (y * directions(y)).mean().backward()  # type: ignore[no-untyped-call]
        reached = set()
        for name, parameter in model.named_parameters():
            slope = parameter.grad
            if slope is None:
                continue
            if not bool(slope.isfinite().all()):
                raise GateFailure(f"the gradient of {name} is not finite at t = {length}")
            if bool(slope.any()):
                reached.add(name)
        return reached


def directions(y: Tensor) -> Tensor:
    """Random weights of every output, the same each time."""
    return torch.randn(y.shape, generator=torch.Generator().manual_seed(3)).to(y.dtype)
