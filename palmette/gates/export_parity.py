"""The exported file is the model."""

from __future__ import annotations

import ast
import sys

import torch
from torch import nn

from palmette.gates._base import Gate, GateFailure, Subject, run, scale_of
from palmette.gates.gradient_reach import directions
from palmette.model.export import source

LENGTH = 63
ALLOWED = {"torch", *sys.stdlib_module_names}
TOLERANCE = 1e-6


class ExportParity(Gate):
    """The exported file needs only torch and gives the same logits and the same gradients.

    The standard library aside. The file is executed by itself and loads the model's weights; 1e-6
    of the largest is allowed.
    """

    name = "export_parity"

    def applies(self, subject: Subject) -> str | None:
        """Only to what the language has built."""
        return None if subject.genome and subject.place else "only genomes are exported"

    def check(self, subject: Subject) -> str:
        """The largest relative difference."""
        assert subject.genome is not None
        assert subject.place is not None
        text = source(subject.genome, subject.place, "weights.pt")
        needed = {name for node in ast.walk(ast.parse(text)) for name in imported(node)}
        if not needed <= ALLOWED:
            raise GateFailure(f"the exported file imports {', '.join(sorted(needed - ALLOWED))}")
        space: dict[str, object] = {"__name__": "exported"}
        exec(compile(text, "exported.py", "exec"), space)
        make = space["model"]
        assert callable(make)
        model, copy = subject.fresh(training=True), make()
        assert isinstance(copy, nn.Module)
        copy.load_state_dict(model.state_dict())
        copy.train()
        x = subject.inputs(LENGTH)
        wanted, got = run(model, x), run(copy, x)
        worst = apart("the logits", wanted, got)
        for each in (wanted, got):
            (each * directions(each)).sum().backward()  # type: ignore[no-untyped-call]
        slopes = dict(copy.named_parameters())
        for name, parameter in model.named_parameters():
            theirs = slopes[name].grad
            if parameter.grad is None or theirs is None:
                if parameter.grad is not theirs:
                    raise GateFailure(f"only one of model and exported file trains {name}")
                continue
            worst = max(worst, apart(f"the gradient of {name}", parameter.grad, theirs))
        return f"logits and gradients agree within {worst:.0e}"


def apart(what: str, wanted: torch.Tensor, got: torch.Tensor) -> float:
    """The relative difference; raises `GateFailure` if it is more than rounding."""
    difference = float((wanted - got).detach().abs().max()) / scale_of(
        wanted.detach().reshape(1, 1, -1)
    )
    if not difference <= TOLERANCE:
        raise GateFailure(f"{what} of the exported file differs by {difference:.1e}, relative")
    return difference


def imported(node: ast.AST) -> list[str]:
    """The packages that a statement imports."""
    if isinstance(node, ast.Import):
        return [one.name.partition(".")[0] for one in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return []
