import pytest

import palmette
from palmette.errors import GenomeError


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        (
            "seq(pre(mlp()), seq(pre(glu()), post(glu())))",
            "seq(pre(mlp()), pre(glu()), post(glu()))",
        ),
        ("seq(pre(mlp()), pre(mlp()))", "stack(pre(mlp()))"),
        ("seq(pre(mlp()), pre(mlp()), pre(glu()))", "seq(stack(pre(mlp())), pre(glu()))"),
        ("seq(stack(pre(mlp())), pre(mlp()))", "stack(pre(mlp()))"),
        ("seq(pre(mlp()), pre(glu()), pre(mlp()), pre(glu()))", "stack(pre(mlp()), pre(glu()))"),
        (
            "seq(pre(mlp()), pre(glu()), post(mlp()), post(glu()), seq(sandwich(mlp()), "
            "sandwich(glu()), pre(mlp())))",
            "seq(pre(mlp()), pre(glu()), post(mlp()), post(glu()), sandwich(mlp()), "
            "seq(sandwich(glu()), pre(mlp())))",
        ),
    ],
)
def test_canonical_form(written, canonical):
    genome = palmette.parse(written)
    assert str(genome) == f"lm({canonical})"
    assert palmette.parse(str(genome)) == genome


def test_more_than_six_parts_build_as_one_chain():
    written = "seq(pre(mlp()), pre(glu()), post(mlp()), post(glu()), sandwich(mlp()), "
    genome = palmette.parse(f"{written}seq(sandwich(glu()), pre(mlp(ratio=2))))")
    model = palmette.build(genome, params=42_000, seed=0)
    assert len(model.core.layers) == 7


def test_a_sequence_of_one_is_a_fault():
    with pytest.raises(GenomeError, match="seq wants at least 2 children, got 1"):
        palmette.parse("seq(pre(mlp()))")
