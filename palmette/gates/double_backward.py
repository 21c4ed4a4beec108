"""The second derivative is there, and right."""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from palmette.gates._base import Gate, GateFailure, Subject
from palmette.gates._features import Change, fed
from palmette.grammar.types import Effect

LENGTH = 21
STEP = 1e-6  # small, for curvature may be large; fp64 leaves nine digits
TOLERANCE = 1e-2
TRIES = 3


class DoubleBackward(Gate):
    """What promises to be twice differentiable has the second derivative that differences show.

    In double precision: the derivative of the gradient along a direction, by differentiating twice
    and by a central difference of gradients. An operator that detaches something in its backward
    gives a second derivative that is silently wrong. A genome's fused attention kernel, which has
    none on a CPU, is told to run in its plain form: below an energy, the one place where it is
    differentiated twice, an explicit form is built. Up to 1e-2 relative is allowed, the best of
    three places, since a kink near one of them is no fault: 1e-8 to 1e-3 is seen, and a term that
    is lost gives about 1.
    """

    name = "double_backward"
    needs = frozenset({Effect.TWICE_DIFFERENTIABLE})

    def check(self, subject: Subject) -> str:
        """The relative error."""
        plain = sdpa_kernel(SDPBackend.MATH) if subject.genome else nullcontext()
        with plain:
            return self._check(subject)

    def _check(self, subject: Subject) -> str:
        model = subject.fresh(training=True, shaken=True).double()
        errors = []
        for number in range(TRIES):
            x = subject.inputs(LENGTH, rows=1, seed=number)
            x = x.double() if x.is_floating_point() else x
            errors.append(self._error(model, x, number))
            if errors[-1] <= TOLERANCE:
                return f"the second derivative is right to {errors[-1]:.0e}"
        raise GateFailure(
            f"the second derivative is off by {min(errors):.1e}, relative, from the difference of "
            "two gradients"
        )

    def _error(self, model: nn.Module, x: Tensor, seed: int) -> float:
        shape = features_like(model, x)
        generator = torch.Generator().manual_seed(seed)
        along = torch.randn(shape, generator=generator, dtype=torch.float64)
        shift = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        gradient = gradient_at(model, x, shift, graph=True)
        parameters = [p for p in model.parameters() if p.requires_grad]
        wanted = [shift, *parameters]
        twice = torch.autograd.grad((gradient * along).sum(), wanted, allow_unused=True)
        ahead = gradient_at(model, x, (STEP * along).requires_grad_())
        behind = gradient_at(model, x, (-STEP * along).requires_grad_())
        difference = (ahead - behind) / (2 * STEP)
        second = twice[0] if twice[0] is not None else torch.zeros_like(shift)
        for slope in twice:
            if slope is not None and not bool(slope.isfinite().all()):
                raise GateFailure("the second derivative is not finite")
        size = float(difference.norm())
        # What is linear in its input has no second derivative in it, by either way.
        return float((second - difference).detach().norm()) / max(
            size, 1e-6 * float(gradient.detach().norm())
        )


def gradient_at(model: nn.Module, x: Tensor, shift: Tensor, *, graph: bool = False) -> Tensor:
    """The gradient, in the features, of a smooth function of the output at features + shift."""
    y = fed(model, x, shifted(shift))
    if y is None or not y.requires_grad:
        raise GateFailure("its output does not depend on its features in a way to differentiate")
    weights = torch.randn(y.shape[-1], generator=torch.Generator().manual_seed(1)).double()
    scalar = (torch.tanh(y) * weights).sum()
    (slope,) = torch.autograd.grad(scalar, shift, create_graph=graph)
    return slope


def shifted(shift: Tensor) -> Change:
    """Adds the shift to every look-up that has its shape."""
    return lambda features: features + shift if features.shape == shift.shape else features


def features_like(model: nn.Module, x: Tensor) -> torch.Size:
    """The shape of the features that the module reads."""
    shapes: list[torch.Size] = []

    def note(features: Tensor) -> Tensor:
        shapes.append(features.shape)
        return features

    with torch.no_grad():
        fed(model, x, note)
    if not shapes:
        raise GateFailure("reads its ids in a way that cannot be differentiated")
    return shapes[0]
