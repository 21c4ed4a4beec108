import pytest
import torch

import palmette
from palmette.model import build_at, cost
from palmette.ops._base import Place
from palmette.ops._chain import Chain
from palmette.ops.repeat import SharedChain

PLACE = Place(width=12, depth=3, hidden=1.0, vocabulary=16, context=63)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("repeat(2, repeat(2, pre(mlp())))", "repeat(4, pre(mlp()))"),
        ("repeat(3, repeat(2, pre(mlp())))", "repeat(3, repeat(2, pre(mlp())))"),
        ("repeat(2, seq(pre(mlp()), pre(glu())))", "repeat(2, pre(mlp()), pre(glu()))"),
        ("repeat(2, stack(pre(mlp()), pre(glu())))", "repeat(2, pre(mlp()), pre(glu()))"),
    ],
)
def test_canonical_form(written, canonical):
    assert str(palmette.parse(written)) == f"lm({canonical})"


def test_weights_count_once_and_work_n_times():
    once = cost(palmette.parse("pre(mlp())"), PLACE, 63)
    thrice = cost(palmette.parse("repeat(3, pre(mlp()))"), PLACE, 63)
    assert thrice.parameters == once.parameters
    assert thrice.steps == 3
    model = build_at(palmette.parse("repeat(3, pre(mlp()))"), PLACE)
    assert sum(p.numel() for p in model.parameters()) == thrice.parameters


def test_it_is_the_same_layer_run_n_times():
    layer = torch.nn.Linear(12, 12)
    x = torch.randn(2, 63, 12)
    assert torch.equal(
        SharedChain(times=3, layers=[layer])(x), Chain(layers=[layer, layer, layer])(x)
    )
