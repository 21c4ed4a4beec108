import random

import pytest

import palmette
from palmette.grammar.sample import sample_genome
from palmette.model.fingerprint import fingerprint, twins


def of(text, length=128):
    return fingerprint(palmette.parse(text), length)


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [
        ("pre(attn(window=64))", "pre(attn())", 64),
        ("stack(pre(attn(window=32)))", "stack(pre(attn(window=64)))", 31),
        ("pre(lin(householders=1))", "pre(lin(householders=1, heads=4))", 128),
        ("every(4, pre(mlp()), pre(glu()))", "lm(every(4, pre(mlp()), pre(glu())))", 128),
    ],
    ids=["window of the text", "two wide windows", "knob at its absent value", "wrapped"],
)
def test_twins(one, other, length):
    assert twins(of(one, length), of(other, length))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("pre(attn(window=64))", "pre(attn())"),
        ("pre(mlp())", "pre(mlp(activation='silu'))"),
        ("pre(mlp())", "pre(mlp(bias=True))"),
        ("pre(mlp())", "post(mlp())"),
        ("pre(mlp())", "stack(pre(mlp()))"),
        ("stack(pre(mlp()))", "repeat(3, pre(mlp()))"),
        ("pre(glu())", "lm(pre(glu()), tie=False)"),
        ("pre(glu())", "lm(pre(glu()), norm='layer')"),
        ("stack(pre(lin()))", "stack(pre(lin(decay='scalar')))"),
        ("stack(pre(lin(erase='beta')))", "stack(pre(lin(erase='beta2')))"),
        ("pre(attn(sink=True))", "pre(attn())"),
        ("pre(par(mlp(), glu()))", "pre(par(mlp(), glu(), merge='mean'))"),
    ],
)
def test_real_differences(one, other):
    assert not twins(of(one), of(other))


def test_different_genomes_are_rarely_twins():
    rng = random.Random(0)
    genomes = {sample_genome(palmette.language(), rng, most=16) for _ in range(40)}
    prints = [fingerprint(genome) for genome in sorted(genomes, key=str)]
    pairs = [twins(a, b) for n, a in enumerate(prints) for b in prints[:n]]
    assert sum(pairs) <= 0.01 * len(pairs)


def test_it_is_sixteen_finite_numbers_and_the_same_twice():
    first = of("stack(pre(lin()), pre(glu()))")
    assert len(first) == 16
    assert all(abs(value) < 100 for value in first)
    assert first == of("stack(pre(lin()), pre(glu()))")
