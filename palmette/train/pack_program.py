"""The training step of many models of one shape as one program.

The parameters of s models lie stacked [s ...]. One forward pass of all of them is `torch.func.vmap`
over a functional call: native operators take the models as one dimension more, the others are
torch's. At these sizes getting to an operator costs more than its arithmetic, so the pass and its
derivative are recorded during the first step (`recording.py`) and played from then on, without
modules, mapping or autograd.

Not every model can be mapped or recorded, and one that can might be mapped wrongly. So a program is
compared with one of the models themselves in the second step, the first that is played.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from palmette.ops.kernels.native.cross_entropy import cross_entropy
from palmette.train.executor import out_of_memory
from palmette.train.optimizer import FlatAdamW, decays
from palmette.train.recording import Played, record
from palmette.train.segments import weighted_loss

CLOSE = 1e-3  # of a gradient's norm
CLOSE_TO_ALL = 1e-5  # of the norm of all gradients, below which a small one is noise


MIXING = frozenset({"aten::convolution", "aten::convolution_backward"})
"""Operators that take sums in another order when there are more models."""


class UnpackableError(Exception):
    """These models cannot be trained as one program; the message says why."""


class Program:
    """The losses and gradients of s models whose parameters are stacked; `parameters` are [s ...].

    It copies the models' parameters, and `unload` gives them back. The models are of one shape and
    in training mode.

    Raises `UnpackableError` if one can see that they cannot be packed.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        if reason := unpackable(models[0]):
            raise UnpackableError(reason)
        self._model = models[0]
        self._names = [name for name, _ in self._model.named_parameters()]
        self._buffers, self._dimensions = shared_or_stacked(models)
        self.parameters = stacked(models)
        self._values = [parameter.detach() for parameter in self.parameters]
        self._played: Played | None = None

    def __call__(self, inputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """The losses [s] of inputs and targets [s b t] under weights [s b], of the same shapes each
        time. Each parameter's `grad` [s ...] is set, to None where no loss depends on it.

        Raises `UnpackableError` the first time, if the models cannot be mapped or recorded.
        """
        given = [*self._values, inputs, targets, weights]
        if self._played is None:
            found, self._played = self._recorded(given)
        else:
            with torch.no_grad():
                found = self._played(*given)
        losses, *slopes = found
        for parameter, slope in zip(self.parameters, slopes, strict=True):
            parameter.grad = slope
        assert losses is not None, "there is a loss"
        return losses

    def compare(self, member: int, batch: Sequence[Tensor], loss: float) -> None:
        """Holds a member's loss and gradients, which the program has found for a batch, against
        those of a model by itself.

        Raises `UnpackableError` if they are others.
        """
        self.unload(member, self._model)
        inputs, targets, weights = (part[member] for part in batch)
        own = weighted_loss(self._model(inputs), targets, weights)
        slopes = torch.autograd.grad(own, list(self._model.parameters()), allow_unused=True)
        if not abs(own.item() - loss) <= CLOSE * max(1.0, abs(loss)):
            raise UnpackableError(f"packed its loss is {loss:.6g}, by itself {own:.6g}")
        whole = norm([slope for slope in slopes if slope is not None])
        for name, slope, parameter in zip(self._names, slopes, self.parameters, strict=True):
            if slope is None and parameter.grad is None:
                continue
            none = torch.zeros_like(parameter[member])
            found = none if parameter.grad is None else parameter.grad[member]
            wanted = none if slope is None else slope
            if not norm([found - wanted]) <= CLOSE * norm([wanted]) + CLOSE_TO_ALL * whole:
                raise UnpackableError(f"packed the gradient of {name} is another one")

    def optimizer(self) -> FlatAdamW:
        """AdamW over all models, with a clip and a learning rate for each."""
        decayed = [decays(parameter, parameter.ndim - 1) for parameter in self.parameters]
        return FlatAdamW(self.parameters, len(self.parameters[0]), decayed)

    def unload(self, member: int, model: nn.Module) -> None:
        """Gives a model the parameters of one member."""
        with torch.no_grad():
            for own, parameter in zip(self._values, model.parameters(), strict=True):
                parameter.copy_(own[member])

    def _recorded(self, given: Sequence[Tensor]) -> tuple[list[Tensor | None], Played]:
        count = len(self._names)

        def loss(
            parameters: dict[str, Tensor], buffers: dict[str, Tensor], *batch: Tensor
        ) -> Tensor:
            inputs, targets, weights = batch
            logits = functional_call(self._model, (parameters, buffers), (inputs,))
            return cross_entropy(logits, targets, weights)

        mapped = vmap(loss, in_dims=(0, self._dimensions, 0, 0, 0))

        def step(*given: Tensor) -> list[Tensor | None]:
            leaves = [value.detach().requires_grad_() for value in given[:count]]
            parameters = dict(zip(self._names, leaves, strict=True))
            losses = mapped(parameters, self._buffers, *given[count:])
            slopes = torch.autograd.grad(losses.sum(), leaves, allow_unused=True)
            return [losses.detach(), *slopes]

        try:
            with quiet():
                found, recording = record(step, given)
        except Exception as error:
            if out_of_memory(error):
                raise
            raise UnpackableError(f"{type(error).__name__}: {error}") from error
        if mixing := recording.operators & MIXING:
            raise UnpackableError(f"one model's numbers may depend on others in {min(mixing)}")
        return found, recording.play


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


def norm(parts: Sequence[Tensor]) -> float:
    """The norm of all parts together."""
    return math.hypot(*(part.double().norm().item() for part in parts))


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's warnings of operators that it maps one model after another."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
