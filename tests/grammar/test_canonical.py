from __future__ import annotations

import random

import pytest
from hypothesis import given, settings

from palmette.grammar import Genome, Sort, canonical, check, parse, sample, unparse

from .toy import TOY, seeds


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("seq(pre(lin()))", "pre(lin())"),
        (
            "seq(pre(lin()), seq(pre(glu()), pre(conv())))",
            "seq(pre(lin()), pre(glu()), pre(conv()))",
        ),
        ("seq(pre(lin()), pre(lin()), pre(glu()))", "seq(stack(pre(lin())), pre(glu()))"),
        ("seq(pre(lin()), pre(lin()))", "stack(pre(lin()))"),
        ("stack(stack(pre(lin())))", "stack(pre(lin()))"),
        ("stack(seq(pre(lin()), pre(lin())))", "stack(pre(lin()))"),
        ("stack(pre(lin()), pre(glu()), pre(lin()), pre(glu()))", "stack(pre(lin()), pre(glu()))"),
        ("stack(pre(lin()), pre(glu()), pre(lin()))", "stack(pre(lin()), pre(glu()), pre(lin()))"),
        ("par(lin(), glu(), conv())", "par(conv(), glu(), lin())"),
        ("par(lin(), conv(), merge='first')", "par(lin(), conv(), merge='first')"),
        (
            "par(gate(lin(), glu()), gate(glu(), lin()))",
            "par(gate(glu(), lin()), gate(lin(), glu()))",
        ),
        ("seq(par(lin(), glu()), par(glu(), lin()))", "stack(par(glu(), lin()))"),
    ],
)
def test_one_form_for_what_means_the_same(written: str, meant: str) -> None:
    assert unparse(canonical(parse(written, TOY))) == f"lm({meant})"


def test_a_rewriting_that_would_overfill_is_left_out() -> None:
    """Six is the most that `seq` holds."""
    five = ", ".join(f"pre(lin(heads={n}))" for n in (1, 2, 8, 1, 2))
    text = f"lm(seq({five}, seq(pre(glu()), pre(conv()))))"
    assert unparse(canonical(parse(text, TOY))) == text


@given(seeds)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_canonical_is_idempotent_typed_and_no_larger(seed: int) -> None:
    tree = sample(TOY, Sort.MODEL, random.Random(seed))
    once = canonical(tree)
    assert canonical(once) == once
    assert check(once, TOY) == ()
    assert sum(1 for _ in once.walk()) <= sum(1 for _ in tree.walk())


def test_a_genome_is_equal_if_its_canonical_text_is() -> None:
    one = Genome(canonical(parse("par(lin(), glu())", TOY)))
    other = Genome(canonical(parse("lm(par(glu(), lin()))", TOY)))
    assert one == other
    assert one.hash == other.hash
    assert len(one.hash) == 64
    assert len({one, other}) == 1
    assert str(one) == "lm(par(glu(), lin()))"
    assert one != Genome(canonical(parse("par(lin(), conv())", TOY)))
