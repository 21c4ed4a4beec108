"""The training step of many models of one shape as one program.

The parameters of s models lie stacked [s ...]. One forward pass of all of them is `torch.func.vmap`
over a functional call: native operators take the models as one dimension more, the others are
torch's. At these sizes getting to an operator costs more than its arithmetic, so the pass and its
derivative are recorded once (`recording.py`) and played from then on, without modules, mapping or
autograd.

Not every model can be mapped or recorded, and one that can might be mapped wrongly. So each program
is compared with the models themselves before it is used.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from palmette.tasks import VOCABULARY
from palmette.train.executor import out_of_memory
from palmette.train.optimizer import FlatAdamW, decays
from palmette.train.recording import Played, record
from palmette.train.segments import weighted_loss

CLOSE = 1e-3  # of a gradient's norm
CLOSE_TO_ALL = 1e-5  # of the norm of all gradients, below which a small one is noise


class UnpackableError(Exception):
    """These models cannot be trained as one program; the message says why."""


class Program:
    """The losses and gradients of s models whose parameters are stacked; `parameters` are [s ...].

    It is recorded for batches of `rows` sequences of `length` tokens, and copies the models'
    parameters: `unload` gives them back. The models are of one shape and in training mode.

    Raises `UnpackableError` if that cannot be done, or does not give the models' own gradients.
    """

    def __init__(self, models: Sequence[nn.Module], rows: int, length: int) -> None:
        if reason := unpackable(models[0]):
            raise UnpackableError(reason)
        self._names = [name for name, _ in models[0].named_parameters()]
        self.parameters = stacked(models)
        self._values = [parameter.detach() for parameter in self.parameters]
        try:
            with quiet():
                self._played = self._recorded(models, made_up(0, len(models), rows, length))
        except Exception as error:
            if out_of_memory(error):
                raise
            raise UnpackableError(f"{type(error).__name__}: {error}") from error
        self._compare(models, made_up(1, len(models), rows, length))

    def __call__(self, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The losses [s] of inputs and targets [s b t] under weights [s b].

        Each parameter's `grad` [s ...] is set, to None where no loss depends on it.
        """
        with torch.no_grad():
            losses, *slopes = self._played(*self._values, inputs, targets, weights)
        for parameter, slope in zip(self.parameters, slopes, strict=True):
            parameter.grad = slope
        assert losses is not None, "there is a loss"
        return losses

    def optimizer(self) -> FlatAdamW:
        """AdamW over all models, with a clip and a learning rate for each."""
        decayed = [decays(parameter, parameter.ndim - 1) for parameter in self.parameters]
        return FlatAdamW(self.parameters, len(self.parameters[0]), decayed)

    def unload(self, member: int, model: nn.Module) -> None:
        """Gives a model the parameters of one member."""
        with torch.no_grad():
            for own, parameter in zip(self._values, model.parameters(), strict=True):
                parameter.copy_(own[member])

    def _recorded(self, models: Sequence[nn.Module], batch: Sequence[Tensor]) -> Played:
        buffers, dimensions = shared_or_stacked(models)
        count = len(self._names)

        def loss(parameters: dict[str, Tensor], held: dict[str, Tensor], *given: Tensor) -> Tensor:
            inputs, targets, weights = given
            logits = functional_call(models[0], (parameters, held), (inputs,))
            return weighted_loss(logits, targets, weights)

        mapped = vmap(loss, in_dims=(0, dimensions, 0, 0, 0))

        def step(*given: Tensor) -> list[Tensor | None]:
            leaves = [value.detach().requires_grad_() for value in given[:count]]
            parameters = dict(zip(self._names, leaves, strict=True))
            losses = mapped(parameters, buffers, *given[count:])
            slopes = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
            return [losses.detach(), *slopes]

        return record(step, [*self._values, *batch])

    def _compare(self, models: Sequence[nn.Module], batch: Sequence[Tensor]) -> None:
        """Holds losses and gradients of the first and the last model against their own."""
        losses = self(*batch)
        for member in {0, len(models) - 1}:
            model, (inputs, targets, weights) = models[member], (part[member] for part in batch)
            parameters = list(model.parameters())
            loss = weighted_loss(model(inputs), targets, weights)
            own = torch.autograd.grad(loss, parameters, allow_unused=True)
            whole = norm([slope for slope in own if slope is not None])
            if not abs(loss.item() - losses[member].item()) <= CLOSE * max(1.0, abs(loss.item())):
                raise UnpackableError(f"packed its loss is {losses[member]:.6g}, not {loss:.6g}")
            for name, slope, parameter in zip(self._names, own, self.parameters, strict=True):
                there = parameter.grad
                if slope is None and there is None:
                    continue
                mine = torch.zeros_like(parameter[0]) if there is None else there[member]
                wanted = torch.zeros_like(mine) if slope is None else slope
                if not norm([mine - wanted]) <= CLOSE * norm([wanted]) + CLOSE_TO_ALL * whole:
                    raise UnpackableError(f"packed the gradient of {name} is another one")


def unpackable(model: nn.Module) -> str | None:
    """Why a model is not even tried; None if it may be."""
    for module in model.modules():
        if getattr(module, "second_order", False):
            return f"{type(module).__name__} differentiates its parts itself"
        if type(module).__module__.split(".")[0] not in ("palmette", "torch"):
            return f"{type(module).__name__} is the class of a stranger"
    if getattr(getattr(model, "core", None), "segments", 1) != 1:
        return "it takes several steps of the optimiser for a batch"
    if not hasattr(model, "segments"):
        return "it does not say what it is trained on"
    return None


def stacked(models: Sequence[nn.Module]) -> list[nn.Parameter]:
    """The parameters of all models side by side [s ...], with the first one's `no_decay`."""
    held = []
    for own in zip(*(model.parameters() for model in models), strict=True):
        parameter = nn.Parameter(torch.stack([one.detach() for one in own]))
        parameter.no_decay = getattr(own[0], "no_decay", False)  # type: ignore[attr-defined]
        held.append(parameter)
    return held


def shared_or_stacked(
    models: Sequence[nn.Module],
) -> tuple[dict[str, Tensor], dict[str, int | None]]:
    """Buffers by name, with the dimension of the models: None where all have the same."""
    buffers: dict[str, Tensor] = {}
    dimensions: dict[str, int | None] = {}
    every = [dict(model.named_buffers()) for model in models]
    for name, first in every[0].items():
        same = all(torch.equal(first, own[name]) for own in every)
        buffers[name] = first if same else torch.stack([own[name] for own in every])
        dimensions[name] = None if same else 0
    return buffers, dimensions


def made_up(number: int, models: int, rows: int, length: int) -> list[Tensor]:
    """Inputs and targets [s b t] and weights [s b] out of nothing, the same for each model."""
    generator = torch.Generator().manual_seed(number)
    inputs, targets = torch.randint(VOCABULARY, (2, rows, length), generator=generator)
    weights = torch.rand(rows, generator=generator) / (rows * length)
    return [part.expand(models, *part.shape).contiguous() for part in (inputs, targets, weights)]


def norm(parts: Sequence[Tensor]) -> float:
    """The norm of all parts together."""
    return math.hypot(*(part.double().norm().item() for part in parts))


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's warnings of operators that it maps one model after another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
