"""The optimiser of every trial: AdamW (arXiv 1711.05101) behind a clip of the gradient norm.

    optimizer = make_optimizer(parameters, kernel)
    loss.backward()
    optimizer.step(rate)        # clips, moves the parameters, clears the gradients

Kernel "torch" calls torch's own; kernel "native" computes the same equation for all parameters in
one call, which at 42,000 parameters costs a tenth or less of what dispatching them costs torch.
Either way a parameter that the loss does not depend on stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from palmette.ops.kernels.native.adamw import TENSOR, Step

BETAS = (0.9, 0.95)
EPSILON = 1e-8
WEIGHT_DECAY = 0.1
CLIP_NORM = 1.0
ALIGNMENT = 16  # floats; where a tensor's moments begin


class Optimizer(Protocol):
    """What the training loop asks of an optimiser."""

    def step(self, rate: float) -> None:
        """Takes a step at a learning rate with the gradients that are there, and clears them."""
        ...


def make_optimizer(parameters: Sequence[nn.Parameter], kernel: str) -> Optimizer:
    """The optimiser for one model whose kernels are 'torch' or 'native'."""
    return FlatAdamW(parameters) if kernel == "native" else TorchAdamW(parameters)


def decays(parameter: nn.Parameter, dimensions: int | None = None) -> bool:
    """Whether weight decay pulls at it: matrices, save those that carry `no_decay = True`.

    `dimensions` are its own, if it has further ones in which models lie side by side.
    """
    own = parameter.ndim if dimensions is None else dimensions
    return own >= 2 and not getattr(parameter, "no_decay", False)


class TorchAdamW:
    """Torch's fused AdamW and its clip."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = list(parameters)
        groups = [
            {"params": [p for p in parameters if decays(p)], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in parameters if not decays(p)], "weight_decay": 0.0},
        ]
        filled = [group for group in groups if group["params"]]
        self._adamw = torch.optim.AdamW(filled, betas=BETAS, eps=EPSILON, fused=True)

    def step(self, rate: float) -> None:
        """Clips, steps at `rate`, clears the gradients."""
        for group in self._adamw.param_groups:
            group["lr"] = rate
        nn.utils.clip_grad_norm_(self._parameters, CLIP_NORM)
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)


class FlatAdamW:
    """AdamW for one model, or for `models` of them side by side, in one native call a step.

    parameters  each [...], or [s ...] for s models, float32, contiguous, on a CPU
    models      s; None for one model whose parameters have no such dimension
    decayed     whether weight decay pulls at each parameter; if not given, see `decays`

    Each model's gradients are clipped by that model's own norm, and each may have its own learning
    rate. A model's numbers are the same alone and among others.

    Raises `ValueError` for parameters that are not of that kind, `NativeError` where the kernel
    cannot be built.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        models: int | None = None,
        decayed: Sequence[bool] | None = None,
    ) -> None:
        self._parameters = list(parameters)
        self._models = models or 1
        further = 0 if models is None else 1
        if decayed is None:
            decayed = [decays(p, p.ndim - further) for p in self._parameters]
        self._check(models)
        sizes = [p.numel() for p in self._parameters]
        rooms = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]
        begins = np.cumsum([0, *rooms])
        self._moments = torch.zeros(2, int(begins[-1]))
        self._table = np.zeros(len(sizes), TENSOR)
        self._table["parameter"] = [p.data_ptr() for p in self._parameters]
        self._table["first"] = self._moments[0].data_ptr() + 4 * begins[:-1]
        self._table["second"] = self._moments[1].data_ptr() + 4 * begins[:-1]
        self._table["size"] = np.array(sizes) // self._models
        self._table["decay"] = np.where(decayed, WEIGHT_DECAY, 0.0)
        self._gradients = self._table["gradient"]
        self._step = Step(
            self._table, self._models, clip_norm=CLIP_NORM, betas=BETAS, epsilon=EPSILON
        )

    def step(self, rate: float | Sequence[float]) -> None:
        """Clips, steps at `rate`, one for all models or one each [s], clears the gradients."""
        self._step.rates[:] = rate
        gradients = [_whole(p.grad) for p in self._parameters]
        self._gradients[:] = [0 if g is None else g.data_ptr() for g in gradients]
        self._step()
        for parameter in self._parameters:
            parameter.grad = None

    @property
    def norms(self) -> list[float]:
        """The gradient norm of each model in the last step, before the clip [s]."""
        return self._step.norms.tolist()

    def _check(self, models: int | None) -> None:
        for number, parameter in enumerate(self._parameters):
            told = f"parameter {number}, {parameter.dtype} {tuple(parameter.shape)}"
            if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
                raise ValueError(f"{told} on {parameter.device}, is not float32 on a CPU")
            if not parameter.is_contiguous():
                raise ValueError(f"{told}, is not contiguous")
            if models is not None and parameter.shape[:1] != (models,):
                raise ValueError(f"{told}, does not begin with the {models} models")


def _whole(gradient: torch.Tensor | None) -> torch.Tensor | None:
    return gradient if gradient is None or gradient.is_contiguous() else gradient.contiguous()
