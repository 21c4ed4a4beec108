import pytest

import palmette
from palmette.model import build_at
from palmette.ops._base import Place


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("stack(stack(pre(mlp())))", "stack(pre(mlp()))"),
        ("stack(pre(mlp()), pre(mlp()))", "stack(pre(mlp()))"),
        ("stack(seq(pre(mlp()), pre(glu())))", "stack(pre(mlp()), pre(glu()))"),
        ("stack(pre(mlp()), stack(pre(glu())))", "stack(pre(mlp()), pre(glu()))"),
        (
            "stack(pre(mlp()), pre(glu()), seq(pre(mlp()), pre(glu())))",
            "stack(pre(mlp()), pre(glu()))",
        ),
        (
            "stack(pre(mlp()), pre(glu()), post(mlp()), seq(post(glu()), pre(mlp())))",
            "stack(seq(pre(mlp()), pre(glu()), post(mlp()), post(glu()), pre(mlp())))",
        ),
        ("stack(pre(mlp()), pre(mlp()), pre(glu()))", "stack(pre(mlp()), pre(mlp()), pre(glu()))"),
    ],
)
def test_canonical_form(written, canonical):
    genome = palmette.parse(written)
    assert str(genome) == f"lm({canonical})"
    assert palmette.parse(str(genome)) == genome


@pytest.mark.parametrize(
    ("written", "layers"),
    [
        ("stack(pre(mlp()), pre(glu()))", 6),
        ("seq(stack(pre(mlp())), pre(glu()))", 2),
        ("repeat(2, stack(pre(mlp()), pre(glu())))", 2),
    ],
    ids=["outermost", "in a sequence", "in a repeat"],
)
def test_depth_is_used_once(written, layers):
    place = Place(width=12, depth=3, hidden=1.0, vocabulary=16, context=63)
    model = build_at(palmette.parse(written), place)
    assert len(model.core.layers) == layers
    if "seq" in written:
        assert len(model.core.layers[0].layers) == 3


def test_every_repetition_has_weights_of_its_own():
    place = Place(width=12, depth=3, hidden=1.0, vocabulary=16, context=63)
    first, second, _ = build_at(palmette.parse("stack(pre(mlp()))"), place, seed=0).core.layers
    assert not first.op.up.weight.equal(second.op.up.weight)
