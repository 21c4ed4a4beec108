import pytest
import torch
from torch import nn

import palmette
from palmette.ops.par import Parallel

BRANCHES = [nn.Linear(12, 12) for _ in range(3)]


def merged(merge):
    torch.manual_seed(0)
    return Parallel(width=12, merge=merge, branches=BRANCHES)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("par(mlp(), glu())", "par(glu(), mlp())"),
        ("par(mlp(), glu(), merge='mean')", "par(glu(), mlp(), merge='mean')"),
        ("par(mlp(), glu(), merge='gate')", "par(mlp(), glu(), merge='gate')"),
        ("par(mlp(), par(glu(), conv()))", "par(conv(), glu(), mlp())"),
        (
            "par(mlp(), par(glu(), conv(), merge='mean'))",
            "par(mlp(), par(conv(), glu(), merge='mean'))",
        ),
        (
            "par(mlp(), par(glu(), par(conv(), glu(ratio=2))))",
            "par(mlp(), par(conv(), glu(), glu(ratio=2)))",
        ),
    ],
)
def test_canonical_form(written, canonical):
    assert str(palmette.parse(f"pre({written})")) == f"lm(pre({canonical}))"


def test_merges_against_their_equations():
    x = torch.randn(2, 63, 12)
    a, b, c = (branch(x) for branch in BRANCHES)
    torch.testing.assert_close(merged("add")(x), a + b + c)
    torch.testing.assert_close(merged("mean")(x), (a + b + c) / 3)
    gate = merged("gate")
    shares = torch.softmax(gate.gate(x), -1)
    torch.testing.assert_close(
        gate(x), shares[..., :1] * a + shares[..., 1:2] * b + shares[..., 2:] * c
    )
    concat = merged("concat")
    torch.testing.assert_close(concat(x), torch.cat([a, b, c], -1) @ concat.project.weight.T)
