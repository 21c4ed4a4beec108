"""A second identity: what a genome computes, however it is written.

The canonical hash says whether two genomes are written alike. The fingerprint says whether they
compute alike: a window wider than the text, a knob that changes nothing where it stands, a gate
that is a sum in disguise. Both models get weights that depend on each parameter's path and shape
alone, read the same text, and their outputs are compared.
"""

import hashlib
import math
from functools import cache
from typing import TypeAlias

import torch
from torch import Tensor, nn

from palmette.grammar.genome import Genome
from palmette.model.build import build_at
from palmette.model.stranger.node import stand_ins
from palmette.ops._base import Place

Fingerprint: TypeAlias = tuple[float, ...]

SIZE = 16


def fingerprint(genome: Genome, length: int = 128) -> Fingerprint:
    """Sixteen numbers that genomes with the same function share, up to rounding.

    `length` is that of the text, in tokens: what only a longer text can tell apart is the same.
    Every genome is built with width 12 and depth 3, so a twin here is one at other sizes too,
    except where sizes round. A stranger's class counts as an unknown function.

    >>> import palmette
    >>> everything, window = map(palmette.parse, ["pre(attn())", "pre(attn(window=32))"])
    >>> [twins(fingerprint(everything, n), fingerprint(window, n)) for n in (32, 128)]
    [True, False]
    """
    place = Place(width=12, depth=3, hidden=1.0, vocabulary=16, context=length)
    with stand_ins():
        model = build_at(genome, place, seed=0)
    _reseed(model)
    with torch.no_grad():
        logits = model(_ids(length))[0].double()  # [t vocabulary]
    values = torch.einsum("tv,tvs->s", logits, _projection(length))
    return tuple(float(value) for value in values)


def twins(a: Fingerprint, b: Fingerprint, tolerance: float = 1e-4) -> bool:
    """Whether two fingerprints are equal up to the rounding of another order of operations.

    The tolerance is relative to the size of the fingerprints; in float32 another order of
    summation moves them by about 1e-6 of it.
    """
    difference = math.dist(a, b)
    return difference <= tolerance * max(math.hypot(*a), math.hypot(*b))


def _reseed(model: nn.Module) -> None:
    """Draws every parameter anew, from a generator seeded by its path and shape.

    Initial values would hide differences: biases, gates and sinks often start at zero. Vectors
    (scales, biases, rates) are drawn between a quarter and one, which suits all of them.
    """
    with torch.no_grad():
        for path, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            generator = torch.Generator().manual_seed(_number(f"{path} {shape}"))
            if parameter.ndim < 2:
                parameter.uniform_(0.25, 1.0, generator=generator)
            else:
                fan_in = parameter[0].numel()
                parameter.normal_(std=1 / math.sqrt(fan_in), generator=generator)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@cache
def _ids(length: int) -> Tensor:
    return torch.randint(16, (1, length), generator=torch.Generator().manual_seed(1))


@cache
def _projection(length: int) -> Tensor:
    """Random directions over positions and logits, so that any difference shows in all sums."""
    generator = torch.Generator().manual_seed(2)
    shape = (length, 16, SIZE)
    return torch.randn(shape, generator=generator, dtype=torch.float64) / math.sqrt(16 * length)
