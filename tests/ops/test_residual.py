"""`pre`, `post` and `sandwich` against their equations, with both norms."""

import pytest
import torch
from torch import nn

from palmette.ops._norm import RmsNorm
from palmette.ops.post import PostNorm
from palmette.ops.pre import PreNorm
from palmette.ops.sandwich import SandwichNorm

NORMS = {"rms": lambda x: nn.functional.rms_norm(x, (12,), eps=1e-5), "layer": nn.LayerNorm(12)}


@pytest.mark.parametrize("kind", ["rms", "layer"])
def test_equations(kind):
    norm, op, x = NORMS[kind], nn.Linear(12, 12), torch.randn(2, 63, 12)
    step = {"width": 12, "norm": kind, "op": op}
    torch.testing.assert_close(PreNorm(**step)(x), x + op(norm(x)))
    torch.testing.assert_close(PostNorm(**step)(x), norm(x + op(x)))
    torch.testing.assert_close(SandwichNorm(**step)(x), x + norm(op(norm(x))))


def test_rms_norm_is_torchs_with_values_and_gradients():
    ours, theirs = RmsNorm(width=12), nn.RMSNorm(12, eps=1e-5)
    with torch.no_grad():
        ours.weight.copy_(torch.randn(12))
        theirs.weight.copy_(ours.weight)
    x = torch.randn(2, 63, 12, dtype=torch.float32, requires_grad=True)
    weights = torch.randn(2, 63, 12)
    for norm in (ours, theirs):
        norm.slopes = torch.autograd.grad((norm(x) * weights).sum(), [x, norm.weight])
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.slopes, theirs.slopes)


def test_rms_norm_of_zeros_is_zero_with_a_finite_gradient():
    x = torch.zeros(1, 3, 12, requires_grad=True)
    RmsNorm(width=12)(x).sum().backward()
    assert x.grad.isfinite().all()
