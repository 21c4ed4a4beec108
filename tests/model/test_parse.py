import pytest

import palmette
from palmette.errors import GenomeError


@pytest.mark.parametrize(
    "text", ["pre(mlp())", "lm(pre(mlp()))", "lm(pre(mlp(ratio=4), norm='rms'), tie=True)"]
)
def test_ways_to_write_one_genome(text):
    genome = palmette.parse(text)
    assert str(genome) == "lm(pre(mlp()))"
    assert genome.hash == palmette.parse("lm(pre(mlp()))").hash


def test_all_faults_are_reported():
    with pytest.raises(GenomeError) as caught:
        palmette.parse("stack(pre(mpl()), pre(glu(ratio=5)))")
    assert len(caught.value.faults) == 2
    assert "did you mean 'mlp'" in str(caught.value)


def test_an_operator_at_the_top_has_no_residual_of_its_own():
    with pytest.raises(GenomeError, match="pre"):
        palmette.parse("mlp()")
