import pytest
import torch
from torch import nn

import palmette
from palmette.ops.gate import Gated


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("gate(mlp(), glu(), activation='identity')", "gate(glu(), mlp(), activation='identity')"),
        ("gate(mlp(), glu())", "gate(mlp(), glu())"),
        ("gate(mlp(), glu(), activation='silu')", "gate(mlp(), glu(), activation='silu')"),
    ],
)
def test_only_a_plain_product_commutes(written, canonical):
    assert str(palmette.parse(f"pre({written})")) == f"lm(pre({canonical}))"


@pytest.mark.parametrize(
    ("activation", "function"),
    [("sigmoid", torch.sigmoid), ("silu", nn.functional.silu), ("identity", lambda x: x)],
)
def test_equation(activation, function):
    value, by = nn.Linear(12, 12), nn.Linear(12, 12)
    x = torch.randn(2, 63, 12)
    gated = Gated(activation=activation, value=value, by=by)
    torch.testing.assert_close(gated(x), value(x) * function(by(x)))
