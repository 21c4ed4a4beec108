import pytest

import palmette
from palmette.model import build_at, cost
from palmette.ops._base import Place
from palmette.ops.mlp import FeedForward


def place(depth):
    return Place(width=12, depth=depth, hidden=1.0, vocabulary=16, context=63)


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("every(3, pre(mlp()), pre(mlp()))", "stack(pre(mlp()))"),
        ("every(3, stack(pre(mlp())), pre(glu()))", "every(3, pre(mlp()), pre(glu()))"),
        (
            "every(2, stack(pre(mlp()), pre(glu())), post(glu()))",
            "every(2, seq(pre(mlp()), pre(glu())), post(glu()))",
        ),
    ],
)
def test_canonical_form(written, canonical):
    assert str(palmette.parse(written)) == f"lm({canonical})"


@pytest.mark.parametrize(
    ("text", "depth", "layers"),
    [
        ("every(4, pre(mlp()), pre(glu()))", 1, "aaab"),
        ("every(4, pre(mlp()), pre(glu()))", 6, "aaabaa"),
        ("every(2, pre(mlp()), pre(glu()))", 5, "ababa"),
        ("stack(every(2, pre(mlp()), pre(glu())))", 1, "ab"),
        ("repeat(2, every(3, pre(mlp()), pre(glu())))", 6, "aab"),
    ],
)
def test_the_order_of_the_layers(text, depth, layers):
    genome = palmette.parse(text)
    model = build_at(genome, place(depth))
    chain = model.core.layers
    if not text.startswith("every"):
        (chain,) = (inner.layers for inner in chain)
    assert "".join("a" if isinstance(b.op, FeedForward) else "b" for b in chain) == layers
    built = sum(p.numel() for p in model.parameters())
    assert cost(genome, place(depth), 63).parameters == built
