"""What a gate is, and what is put to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from palmette.grammar.genome import Genome
from palmette.grammar.types import Effect, Effects
from palmette.ops._base import Place
from palmette.records import TrialResult, TrialSpec

CAUSAL_ALONE: Effects = frozenset({Effect.CAUSAL})


class GateFailure(Exception):  # noqa: N818  it is a verdict, not an error
    """A module that breaks a promise; the message says which, where and by how much."""


@dataclass(frozen=True)
class Trained:
    """A finished trial: its spec, what its trainer measured, and the weights that it saved.

    `corpus` is the folder of the prepared corpus, None where the suite reads no text.
    """

    spec: TrialSpec
    result: TrialResult
    weights: Path
    corpus: Path | None = None


@dataclass(frozen=True)
class Subject:
    """A model or a layer, with everything that is claimed of it.

    make           a fresh module, the same weights each time; in training mode as torch makes it
    takes          "ids": [b t] -> logits [b t vocabulary]; "features": [b t d] -> [b t d]
    width          d
    vocabulary     number of token ids (for features, how many there may be does not matter)
    promises       the effects that are claimed; a gate whose effect is not claimed does not apply
    context        the longest length that it has to take
    parameters     trainable scalars, in closed form
    flops_forward  per token, by length, in closed form
    state_bytes    that decoding keeps of one sequence in fp32, by length, in closed form
    genome, place  of what the language has built: then its exported file is checked too
    trained        a finished trial of it: then the canary sings; or else why there is none
    unreached      names of parameters that are declared to get no gradient
    double         whether weights and features are in fp64
    """

    make: Callable[[], nn.Module]
    takes: Literal["ids", "features"]
    width: int
    vocabulary: int
    promises: Effects = CAUSAL_ALONE
    context: int = 2048
    parameters: int | None = None
    flops_forward: Callable[[int], float] | None = None
    state_bytes: Callable[[int], int] | None = None
    genome: Genome | None = None
    place: Place | None = None
    trained: Trained | str = "no trained weights of it are kept"
    unreached: frozenset[str] = frozenset()
    double: bool = False

    def in_double(self) -> Subject:
        """The same subject in fp64, weights and features."""
        return replace(self, make=lambda: self.make().double(), double=True)

    def fresh(self, *, training: bool = False, shaken: bool = False) -> nn.Module:
        """A new module. `shaken` moves every weight, so that what starts at zero takes part."""
        model = self.make()
        model.train(training)
        if shaken:
            shake(model)
        return model

    def inputs(self, length: int, rows: int = 2, seed: int = 0) -> Tensor:
        """Random ids [b t], or features [b t d] of unit scale."""
        generator = torch.Generator().manual_seed(1000 * seed + length)
        if self.takes == "ids":
            return torch.randint(self.vocabulary, (rows, length), generator=generator)
        features = torch.randn(rows, length, self.width, generator=generator)
        return features.double() if self.double else features


class Gate(ABC):
    """One executed check. A file of `palmette.gates` that holds one is all that it takes.

    `name` is what people type; the docstring's first sentence is the summary; the rest of it gives
    tolerances with their reasons.
    """

    name: ClassVar[str]
    needs: ClassVar[Effects] = frozenset()  # the promises without which it does not apply
    rounds: ClassVar[bool] = False  # compares two orders of summing: judged again in fp64

    @classmethod
    def summary(cls) -> str:
        """The first sentence of the docstring."""
        text = " ".join((cls.__doc__ or "").split())
        return text.partition(". ")[0].removesuffix(".") + "."

    def applies(self, subject: Subject) -> str | None:
        """Why the gate says nothing about this subject; None if it does."""
        missing = sorted(effect.value for effect in self.needs - subject.promises)
        return f"does not promise to be {' and '.join(missing)}" if missing else None

    @abstractmethod
    def check(self, subject: Subject) -> str:
        """What was measured, in a few words. Raises `GateFailure` if a promise is broken."""


@torch.no_grad()
def shake(model: nn.Module, seed: int = 0) -> None:
    """Adds noise to every parameter: half the usual initial scale to matrices, 0.3 to vectors.

    Gates and scales that start at zero hide what is behind them.
    """
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        fan_in = parameter[0].numel() if parameter.ndim >= 2 else 0
        scale = 0.5 * fan_in**-0.5 if fan_in else 0.3
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
        parameter.add_((scale * noise).to(parameter.dtype))


def run(model: nn.Module, x: Tensor) -> Tensor:
    """The module's output, drawn from the same random numbers each time.

    Dropout in training mode then drops the same elements; torch's generator is left as it was.
    """
    before = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(0)
        y = model(x)
    finally:
        torch.set_rng_state(before)
    if not isinstance(y, Tensor):
        raise GateFailure(f"forward gives a {type(y).__name__}; it has to give one tensor")
    return y


def scale_of(y: Tensor) -> float:
    """The largest magnitude, which tolerances are relative to; `GateFailure` if not finite."""
    if not bool(y.isfinite().all()):
        raise GateFailure(f"the output is not finite at t = {y.shape[1]}")
    return max(float(y.detach().abs().max()), 1e-30)


def modes(training: bool) -> str:
    """The mode's name, for details."""
    return "training" if training else "evaluation"
