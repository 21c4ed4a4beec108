"""The models and shapes of the rows, and a training step of them by palmette and in plain torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

import palmette
from palmette.model import build_at
from palmette.ops._base import Place
from palmette.train.optimizer import BETAS, CLIP_NORM, EPSILON, WEIGHT_DECAY, decays, make_optimizer
from palmette.train.segments import losses

RATE = 1e-3


@dataclass(frozen=True)
class Shape:
    """A size of model and batch: width d, depth, heads of 32 features, length t, vocabulary, b."""

    name: str
    width: int
    depth: int
    heads: int
    length: int
    vocabulary: int
    batch: int

    def __str__(self) -> str:
        return (
            f"d {self.width}, {self.depth} layers, {self.heads} heads, t {self.length}, "
            f"b {self.batch}, vocabulary {self.vocabulary}"
        )

    @property
    def place(self) -> Place:
        return Place(
            width=self.width,
            depth=self.depth,
            hidden=1.0,
            vocabulary=self.vocabulary,
            context=self.length,
        )


S = Shape("S", 64, 4, 2, 128, 64, 32)
M = Shape("M", 128, 4, 4, 256, 256, 32)

GENOMES = {
    # The layer of transformers' qwen3_next: keys and values as large as the head.
    "gated delta": "lm(stack(pre(lin(heads={heads}, decay='scalar', erase='beta', "
    "out_gate='silu')), pre(glu(ratio=2))))",
    # The atlas' mamba2 but for the number of heads.
    "Mamba-2": "lm(stack(pre(lin(heads={heads}, key_ratio=2, value_ratio=2, key_groups='one', "
    "bias=True, decay='scalar', write='dt', skip=True, out_norm='rms_after', out_gate='silu'))))",
    "attention": "lm(stack(pre(attn(heads={heads}, positions='rope')), pre(glu(ratio=2))))",
}


def model(name: str, shape: Shape, kernel: str, seed: int = 0) -> nn.Module:
    """The model of this name at a shape. Atlas models have four heads; these have the shape's."""
    genome = palmette.parse(GENOMES[name].format(heads=shape.heads))
    return build_at(genome, shape.place, seed, kernel)


@dataclass(frozen=True)
class Data:
    """A batch: inputs and targets [b t], the weight of each sequence's summed loss [b]."""

    inputs: Tensor
    targets: Tensor
    weights: Tensor


def data(shape: Shape, seed: int = 0) -> Data:
    """Random ids: what a step costs does not depend on them."""
    rng = torch.Generator().manual_seed(seed)
    size = (shape.batch, shape.length)
    inputs, targets = (torch.randint(shape.vocabulary, size, generator=rng) for _ in range(2))
    weights = torch.full((shape.batch,), 1 / (shape.batch * shape.length))
    return Data(inputs, targets, weights)


def short(shape: Shape) -> Shape:
    """The same model on 64 tokens."""
    return replace(shape, length=64, batch=1)


def palmette_step(model: nn.Module, batch: Data, kernel: str) -> Callable[[], float]:
    """A step as `palmette.train.loop` takes it; returns the loss before it."""
    model.train()
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad], kernel)
    rng = np.random.default_rng(0)

    def step() -> float:
        value = 0.0
        for loss in losses(model, batch.inputs, batch.targets, batch.weights, rng):
            value = loss.item()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(RATE)
        return value

    return step


def plain_step(model: nn.Module, batch: Data) -> Callable[[], float]:
    """The same step as one writes it in eager torch: cross entropy, clip, fused AdamW."""
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if decays(p)], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in parameters if not decays(p)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON, fused=True)

    def step() -> float:
        logits = model(batch.inputs)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten())
        value = loss.item()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return value

    return step


def numbers(model: nn.Module, batch: Data) -> dict[str, Tensor]:
    """The logits, the loss and every gradient, of a copy."""
    model = copy.deepcopy(model).train()
    logits = model(batch.inputs)
    (loss,) = losses(model, batch.inputs, batch.targets, batch.weights, np.random.default_rng(0))
    loss.backward()  # type: ignore[no-untyped-call]
    slopes = {f"gradient of {n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), "loss": loss.detach(), **slopes}


def trained(step: Callable[[], float], steps: int = 4) -> dict[str, Tensor]:
    """The losses of a few steps: that both optimisers do the same."""
    return {"losses of the first steps": torch.tensor([step() for _ in range(steps)])}
