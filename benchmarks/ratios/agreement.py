"""Whether two sides compute the same numbers: nothing is compared that does not."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Agreement:
    """How far apart two sides are, by what was compared: |ours - theirs| / |theirs|, as norms."""

    errors: Mapping[str, float]
    tolerance: float

    @property
    def worst(self) -> tuple[str, float]:
        """What differs most, and by how much; infinite where nothing was compared."""
        return max(self.errors.items(), key=lambda item: item[1], default=("nothing", math.inf))

    @property
    def faults(self) -> list[str]:
        """What differs by more than the tolerance."""
        if not self.errors:
            return ["nothing was compared"]
        return [
            f"{name} differs by {error:.1e} of its norm (allowed: {self.tolerance:.0e})"
            for name, error in self.errors.items()
            if error > self.tolerance
        ]


def agreement(
    ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], tolerance: float
) -> Agreement:
    """Compares tensors by name; one that is missing, misshapen or not finite is infinitely off."""
    names = [*theirs, *(name for name in ours if name not in theirs)]
    return Agreement(
        {name: distance(ours.get(name), theirs.get(name)) for name in names}, tolerance
    )


def distance(given: Tensor | None, wanted: Tensor | None) -> float:
    """The norm of the difference over the norm of what is wanted, in double precision."""
    if given is None or wanted is None or given.shape != wanted.shape:
        return math.inf
    given, wanted = given.detach().double(), wanted.detach().double()
    norm = torch.linalg.vector_norm(wanted).item()
    off = torch.linalg.vector_norm(given - wanted).item()
    if not math.isfinite(off) or not math.isfinite(norm):
        return math.inf
    return off / norm if norm else (0.0 if off == 0 else math.inf)
