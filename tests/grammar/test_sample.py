from __future__ import annotations

import random
import statistics
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.grammar import Effect, Language, Sort, check, effects, sample, sample_genome, unparse
from palmette.grammar.sample import complete

from .toy import TOY, Attn, Gate, Lin, Pre, Route, sampled, seeds

SORTS = [sort for sort in Sort if TOY.smallest(sort)]  # the toy language has no expressions
requirements = st.frozensets(st.sampled_from(Effect), max_size=4)


@given(seeds, st.sampled_from(SORTS), requirements, st.integers(3, 60))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_samples_are_typed_and_within_the_budget(
    seed: int, sort: Sort, required: frozenset[Effect], most: int
) -> None:
    tree = sample(TOY, sort, random.Random(seed), required, most)
    assert check(tree, TOY, required, sort) == ()
    assert required <= effects(tree)
    assert sum(1 for _ in tree.walk()) <= most


def test_the_same_seed_gives_the_same_genome() -> None:
    assert sampled(7) == sampled(7)
    assert len({sampled(seed).hash for seed in range(100)}) > 90


def test_sizes_are_moderate() -> None:
    sizes = [sum(1 for _ in sampled(seed).root.walk()) for seed in range(500)]
    assert 8 <= statistics.mean(sizes) <= 16
    assert max(sizes) <= 40


def test_every_class_and_choice_is_drawn() -> None:
    seen: set[str] = set()
    values = Counter[tuple[str, str, object]]()
    for seed in range(1500):
        for _, node in sample(TOY, Sort.MODEL, random.Random(seed)).walk():
            seen.add(node.name)
            values.update((node.name, name, value) for name, value in node.knobs().items())
    assert seen == {cls.name for cls in TOY.nodes}
    assert values["glu", "ratio", TOY.get("glu")().knobs()["ratio"]] > 0
    weights = [values["pre", "norm", norm] for norm in ("rms", "layer", "none")]
    assert weights[0] / sum(weights) == pytest.approx(0.8, abs=0.05)  # 8 : 1 : 1


def test_impossible_wishes_are_explained() -> None:
    rng = random.Random(0)
    dear = Language((TOY.get("lm"), Pre, Attn))
    with pytest.raises(ValueError, match="completes a Model that is linear_time"):
        sample(dear, Sort.MODEL, rng, frozenset({Effect.LINEAR_TIME}))
    with pytest.raises(ValueError, match="the smallest lm has 3 nodes; allow more than 2"):
        sample_genome(TOY, rng, most=2)


def test_the_smallest_budget_is_enough() -> None:
    assert len(list(sample(TOY, Sort.MODEL, random.Random(1), most=3).walk())) == 3


def test_a_class_is_completed_around_a_child() -> None:
    rng = random.Random(3)
    kept = Lin(heads=8)
    for _ in range(50):
        made = complete(TOY, Route, rng, frozenset(), 6, ("experts", kept))
        assert made is not None
        assert kept in made.nodes()[1:]
        assert check(made, TOY) == ()
        assert sum(1 for _ in made.walk()) <= 7
    assert complete(TOY, Pre, rng, frozenset(), 1, ("op", kept)) is not None
    assert complete(TOY, Gate, rng, frozenset(), 1, ("by", kept)) is None
    assert unparse(kept) == "lin(heads=8)"


def test_an_even_language_prefers_nothing() -> None:
    even = Language(TOY.nodes, even=True)

    def norms(language: Language) -> Counter[str]:
        made = (complete(language, Pre, random.Random(s), frozenset(), 3, LEAF) for s in range(600))
        return Counter(node.norm for node in made if isinstance(node, Pre))

    usual, now = norms(TOY), norms(even)
    assert even != TOY
    assert usual["rms"] > 4 * usual["layer"]
    assert max(now.values()) < 1.5 * min(now.values())
    assert (even.odds(Gate), TOY.odds(Gate)) == (1.0, 0.5)


LEAF = ("op", Lin())
