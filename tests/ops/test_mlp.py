import pytest
import torch
from torch.nn import functional as F

from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.ops.glu import GatedFeedForward
from palmette.ops.mlp import FeedForward, Mlp

FUNCTIONS = {
    "gelu": F.gelu,
    "relu": F.relu,
    "relu2": lambda x: F.relu(x) ** 2,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
}


@pytest.mark.parametrize("activation", ["gelu", "relu", "relu2", "silu"])
def test_mlp_equation(activation):
    mlp = FeedForward(width=12, hidden=25, activation=activation, bias=True)
    x = torch.randn(2, 63, 12)
    hidden = FUNCTIONS[activation](x @ mlp.up.weight.T + mlp.up.bias)
    torch.testing.assert_close(mlp(x), hidden @ mlp.down.weight.T + mlp.down.bias)


@pytest.mark.parametrize("activation", ["silu", "gelu", "sigmoid"])
def test_glu_equation(activation):
    glu = GatedFeedForward(width=12, hidden=25, activation=activation)
    x = torch.randn(2, 63, 12)
    hidden = FUNCTIONS[activation](x @ glu.gate.weight.T) * (x @ glu.up.weight.T)
    torch.testing.assert_close(glu(x), hidden @ glu.down.weight.T)


@pytest.mark.parametrize("activation", ["relu", "relu2"])
def test_a_kink_is_not_twice_differentiable(activation):
    assert Effect.TWICE_DIFFERENTIABLE not in effects(Mlp(activation=activation))
    assert Effect.TWICE_DIFFERENTIABLE in effects(Mlp())
