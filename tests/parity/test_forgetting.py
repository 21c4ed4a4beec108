"""The forget gate of `attn` against fla's slow form of the Forgetting Transformer's attention."""

from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F

from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.attn import Attn, SelfAttention
from tests.parity.oracles import assert_parity, naive

PLACE = Place(width=24, depth=1, hidden=1.0, vocabulary=17, context=128)


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("window", [0, 16, 32])
@pytest.mark.parametrize("shared", [1, 2])
def test_forgetting_attention_is_the_published_one(length, window, shared):
    torch.manual_seed(0)
    attn = Attn(window=window, kv_heads=Fraction(1, shared), forget=True)
    module = instantiate(attn.plan(PLACE))
    assert isinstance(module, SelfAttention)
    x = torch.randn(2, length, 24, requires_grad=True)
    q, k, v = (
        linear(x).unflatten(-1, (-1, 6)) for linear in (module.query, module.key, module.value)
    )
    gates = F.logsigmoid(module.forget(x))
    oracle = naive("forgetting_attn", "naive_forgetting_attn")
    wanted = module.out(oracle(q, k, v, gates, window_size=window or None).flatten(2))
    assert_parity(module(x), wanted, {"x": x, **dict(module.named_parameters())})
