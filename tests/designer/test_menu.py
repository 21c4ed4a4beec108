from __future__ import annotations

import random

import pytest

import palmette
from palmette.designer.menu import described, menu
from palmette.grammar import Effect, check, numbered, revision_schema, sample_genome
from palmette.model import atlas

LANGUAGE = palmette.language()


@pytest.mark.parametrize("name", ["deltanet", "jamba", "deepseek_v4", "delta_rule_spelled", "ebt"])
def test_a_menu_holds_what_is_kept_and_completes_it(name: str) -> None:
    root = atlas.load(name).root
    kept = {type(site.node) for _, site in numbered(root)}
    for seed in range(5):
        made = menu(LANGUAGE, kept, rng=random.Random(seed))
        assert kept | {LANGUAGE.model, LANGUAGE.sequence} <= set(made.nodes) <= set(LANGUAGE.nodes)
        assert len(made.nodes) <= max(12, len(kept) + 6)
        genome = sample_genome(made, random.Random(seed), model=type(root))
        assert check(genome.root, made) == ()
        used = {cls.name for _, site in numbered(root) for cls in made.of(site.sort, site.required)}
        terms = {cls.name for cls in made.nodes if cls.sort.is_term}
        assert used - terms
        assert revision_schema(root, made)["anyOf"]


def test_what_is_left_is_drawn_by_the_odds() -> None:
    drawn = [menu(LANGUAGE, (), rng=random.Random(seed)) for seed in range(40)]
    assert {len(made.nodes) for made in drawn} <= {11, 12}
    reached = {cls for made in drawn for cls in made.nodes}
    causal = frozenset({Effect.CAUSAL})
    assert LANGUAGE.get("attn") in reached
    assert all(LANGUAGE.smallest_of(cls, causal) for cls in reached)  # no flip below an lm
    assert menu(LANGUAGE, (), rng=random.Random(3)) == drawn[3]
    often = [sum(LANGUAGE.get(name) in made.nodes for made in drawn) for name in ("stack", "dnc")]
    assert often[0] > often[1]


def test_a_menu_is_described_by_sort() -> None:
    told = described(menu(LANGUAGE, [LANGUAGE.get("conv")], most=1))
    assert [line.partition("(")[0] for line in told.splitlines()] == [
        "Model: lm",
        "Core: seq",
        "Block: pre",
        "Op: conv",
    ]
    assert len(described(menu(LANGUAGE, ()))) < 4000
