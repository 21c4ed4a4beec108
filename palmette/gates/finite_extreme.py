"""Saturated gates stay finite."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palmette.gates._base import Gate, GateFailure, Subject, run
from palmette.gates._features import fed
from palmette.gates.gradient_reach import directions

LENGTH = 64
FACTOR, LARGEST = 100.0, 30.0
VECTORS = 10.0
INPUTS = 1000.0
ALONE = 16  # matrices that are pushed, at most


class FiniteExtreme(Gate):
    """Outputs and gradients stay finite when weights, biases or inputs are pushed far.

    One push at a time: a matrix times 100, but no weight beyond 30 (gates saturate, an exponential
    without a bound overflows; a matrix of log rates stays one of rates), for one matrix of each
    kind, sixteen at most; every vector plus 10 and minus 10 (biases, decay rates); features times
    1000. fp32 reaches 1e38, so products of a few such numbers fit; what does not fit is an
    exponential, or a division by what vanishes. All matrices at once would not do: where an
    operator reads a stream that nothing has normed, a few products in a row overflow, and none is
    at fault.
    """

    name = "finite_extreme"

    def check(self, subject: Subject) -> str:
        """What was pushed."""
        names = kinds(subject.fresh())
        spread = names[:: -(-len(names) // ALONE)] if names else []
        for name in spread:
            model = subject.fresh(training=True)
            stretch(model, name)
            examine(model, run(model, subject.inputs(LENGTH)), f"{name} x {FACTOR:g}")
        for shift in (VECTORS, -VECTORS):
            model = subject.fresh(training=True)
            shift_vectors(model, shift)
            examine(model, run(model, subject.inputs(LENGTH)), f"vectors {shift:+g}")
        model = subject.fresh(training=True)
        tapped = fed(model, subject.inputs(LENGTH), lambda features: INPUTS * features)
        if tapped is not None:
            examine(model, tapped, f"features x {INPUTS:g}")
        return f"finite with each of {len(spread)} matrices x {FACTOR:g}, vectors +-{VECTORS:g}" + (
            f", features x {INPUTS:g}" if tapped is not None else ""
        )


def kinds(model: nn.Module) -> list[str]:
    """Names of matrices, one for each place in each class of module that holds any."""
    found: dict[tuple[object, ...], str] = {}
    for name, parameter in model.named_parameters():
        path = name.split(".")
        if parameter.ndim >= 2:
            # The module above a linear map says what the map is for.
            owner = model.get_submodule(".".join(path[:-2])) if len(path) > 2 else model
            found.setdefault((type(owner).__qualname__, *path[-2:], parameter.shape), name)
    return list(found.values())


def examine(model: nn.Module, y: Tensor, what: str) -> None:
    """Raises `GateFailure` if an output or a gradient is not finite."""
    if not bool(y.isfinite().all()):
        raise GateFailure(f"the output is not finite ({what})")
    if y.requires_grad:
        (y * directions(y)).mean().backward()  # type: ignore[no-untyped-call]
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
            raise GateFailure(f"the gradient of {name} is not finite ({what})")


@torch.no_grad()
def stretch(model: nn.Module, name: str) -> None:
    """Multiplies the matrix of this name; what is larger from the start stays."""
    parameter = model.get_parameter(name)
    limit = parameter.abs().clamp(min=LARGEST)
    parameter.copy_((FACTOR * parameter).clamp(-limit, limit))


@torch.no_grad()
def shift_vectors(model: nn.Module, shift: float) -> None:
    """Adds to every vector."""
    for parameter in model.parameters():
        if parameter.ndim < 2:
            parameter.add_(shift)
