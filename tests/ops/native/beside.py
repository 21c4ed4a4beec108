"""A native operator beside its equation in fp64: values and gradients."""

import pytest
import torch

from palmette.ops.kernels.native.compiler import INSTRUCTIONS, instructions
from palmette.ops.kernels.native.library import library

NARROWER = [name for name in INSTRUCTIONS if name != "avx512"]


def found(form, tensors, dtype=torch.float32):
    """The output and the gradients by all tensors that are there, of a loss that weighs it all.

    A tensor keeps its strides.
    """
    given = [
        None if x is None else torch.empty_strided(x.shape, x.stride(), dtype=dtype).copy_(x)
        for x in tensors
    ]
    wanted = [x.requires_grad_() for x in given if x is not None]
    out = form(*given)
    slope = torch.randn(out.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return [out.detach(), *torch.autograd.grad((slope * out).sum(), wanted)]


def assert_beside(form, equation, tensors, share=1e-5):
    """fp32 is within `share` of the norm of what the equation gives in fp64, and finite."""
    pairs = zip(found(form, tensors), found(equation, tensors, torch.float64), strict=True)
    for number, (x, y) in enumerate(pairs):
        assert x.isfinite().all(), number
        assert (x - y).norm() <= share * y.norm() + 1e-6, number


def narrow(monkeypatch, module, name):
    """Makes a module's kernels be of these instructions; skips where the processor has them not."""
    names = list(INSTRUCTIONS)
    if name not in names[names.index(instructions()) :]:
        pytest.skip(f"this processor has no {name}")
    monkeypatch.setattr(module, "library", lambda source: library(source, instructions=name))
