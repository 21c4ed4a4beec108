"""From genome to module: the plan's calls are made, at the sizes that `fit` has found."""

import threading
from typing import Any

import torch
from torch import nn

from palmette.grammar.genome import Genome
from palmette.model.fit import fit
from palmette.model.parse import parse
from palmette.ops._base import Call, Place, Primitive
from palmette.ops.forms import KERNELS, adopt

GENERATOR = threading.RLock()
"""Held by whoever seeds torch's global generator for a while: models are built in threads, too."""


def build(
    genome: Genome | str,
    params: int = 200_000,
    vocab_size: int = 256,
    context: int = 256,
    seed: int | None = None,
    kernel: str = "torch",
) -> nn.Module:
    """A model with about `params` trainable scalars, ids [b t] -> logits [b t vocab_size].

    `context` is the longest length in tokens that learned positions will meet. The same `seed`
    gives the same bits and leaves torch's global generator alone; None draws from that generator.
    Where no size is within 2 % of `params` the nearest is built: see `fit`. With `kernel` 'native'
    its modules compute with native kernels where they have them (`ops.forms`); its parameters are
    the same.

    Raises `NativeError` if this machine has no native kernels.

    >>> import torch
    >>> model = build("stack(pre(glu()))", params=42_000, seed=0)
    >>> model(torch.zeros(2, 63, dtype=torch.long)).shape
    torch.Size([2, 63, 256])
    """
    genome = parse(genome) if isinstance(genome, str) else genome
    place = fit(genome, params, vocab_size, context).place
    return build_at(genome, place, seed, kernel)


def build_at(
    genome: Genome, place: Place, seed: int | None = None, kernel: str = "torch"
) -> nn.Module:
    """The model at sizes that are already known; `seed` and `kernel` as in `build`.

    Vectors (norm scales, biases, decay rates) carry `no_decay = True`: pulling them to zero would
    not simplify the function, so weight decay is for matrices alone.
    """
    assert isinstance(genome.root, Primitive), "a genome's root is made of primitives"
    planned = genome.root.plan(place)
    if seed is None:
        model = instantiate(planned)
    else:
        # Not torch.random.fork_rng: its manual_seed would also reseed every CUDA device.
        with GENERATOR:
            before = torch.get_rng_state()
            try:
                torch.default_generator.manual_seed(seed)
                model = instantiate(planned)
            finally:
                torch.set_rng_state(before)
    assert isinstance(model, nn.Module)
    for parameter in model.parameters():
        if parameter.ndim < 2:
            parameter.no_decay = True  # type: ignore[attr-defined]
    assert kernel in KERNELS, f"kernel is one of {KERNELS}, not {kernel!r}"
    return adopt(model) if kernel == "native" else model


def instantiate(given: Any) -> Any:
    """Makes a `Call`, its arguments first and in order; anything else is returned as it is."""
    if isinstance(given, tuple):
        return [instantiate(item) for item in given]
    if not isinstance(given, Call):
        return given
    return given.cls(**{name: instantiate(value) for name, value in given.arguments})
