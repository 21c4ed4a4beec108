from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.grammar import (
    KINDS,
    Edited,
    Effect,
    Kind,
    Language,
    Node,
    Sort,
    canonical,
    check,
    child,
    edit,
    effects,
    graft,
    node,
    parse,
    unparse,
)

from .toy import TOY, Classify, Mirror, Seq, Stack, sampled, seeds

EDITS = [kind for kind in KINDS if kind != "graft"]


def genome(text: str) -> Node:
    return canonical(parse(text, TOY))


def size(tree: Node) -> int:
    return sum(1 for _ in tree.walk())


def assert_good(edited: Edited, parent: Node, most: int = 48) -> None:
    assert check(edited.node, TOY) == ()
    assert canonical(edited.node) == edited.node
    assert unparse(edited.node) != unparse(parent)
    assert parse(unparse(edited.node), TOY) == edited.node
    assert size(edited.node) <= max(most, size(parent))
    assert edited.text.startswith(f"{edited.kind}: ")
    assert "\n" not in edited.text
    at = dict(parent.walk())[edited.path]
    assert edited.before == unparse(at)


@given(seeds, st.integers(3, 48))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_any_edit_is_typed_canonical_new_and_bounded(seed: int, most: int) -> None:
    parent = sampled(seed).root
    edited = edit(parent, TOY, random.Random(seed), most=most)
    assert_good(edited, parent, most)


@given(seeds, seeds)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_any_graft_is_typed_canonical_new_and_bounded(seed: int, other: int) -> None:
    required = frozenset({Effect.CAUSAL})  # so that a donor always has something that fits
    parent, donor = sampled(seed, required).root, sampled(other, required).root
    parts = {unparse(part) for _, part in donor.walk()}
    if parts <= {unparse(part) for _, part in parent.walk()} | {unparse(donor)}:
        return  # there may be nothing in the donor that the parent lacks
    edited = graft(parent, donor, TOY, random.Random(seed))
    assert_good(edited, parent)
    assert edited.after in parts


@given(seeds)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_edits_keep_what_is_required(seed: int) -> None:
    required = frozenset({Effect.CAUSAL, Effect.CONSTANT_STATE, Effect.TOKEN_FREE})
    rng = random.Random(seed)
    root = sampled(seed, required).root
    for _ in range(4):
        root = edit(root, TOY, rng, required=required).node
        assert required <= effects(root)


@pytest.mark.parametrize("kind", EDITS)
def test_each_kind_is_made(kind: Kind) -> None:
    parent = genome("seq(stack(pre(lin()), pre(glu())), par(lin(), conv()))")
    for seed in range(30):
        edited = edit(parent, TOY, random.Random(seed), kinds=[kind])
        assert edited.kind == kind
        assert_good(edited, parent)


def test_all_kinds_are_drawn_alike() -> None:
    parent = genome("stack(pre(lin()), pre(glu()))")
    kinds = Counter(edit(parent, TOY, random.Random(seed)).kind for seed in range(600))
    assert set(kinds) == set(EDITS)
    assert min(kinds.values()) > 60


def test_a_tuning_changes_one_knob_and_says_so() -> None:
    edited = edit(genome("stack(pre(conv()))"), TOY, random.Random(5), kinds=["tune"])
    assert edited.text in {
        "tune: conv.reads 'ids' -> 'features' at lm/stack/pre",
        "tune: pre.norm 'rms' -> 'layer' at lm/stack",
        "tune: pre.norm 'rms' -> 'none' at lm/stack",
        "tune: lm.tied True -> False",
    }


def test_every_allowed_choice_is_reached_and_no_other() -> None:
    parent = genome("pre(conv())")
    reached = {edit(parent, TOY, random.Random(seed), kinds=["tune"]).text for seed in range(200)}
    assert reached == {
        "tune: conv.reads 'ids' -> 'features' at lm/pre",
        "tune: pre.norm 'rms' -> 'layer' at lm",
        "tune: pre.norm 'rms' -> 'none' at lm",
        "tune: lm.tied True -> False",
    }  # and not conv.padding='same', which is not causal


def test_a_split_specialises_one_copy() -> None:
    parent = genome("stack(pre(lin()), pre(glu()))")
    edited = edit(parent, TOY, random.Random(2), kinds=["split"])
    (trunk,) = edited.node.nodes()
    assert isinstance(trunk, Seq)
    stacks = [part for part in trunk.parts if isinstance(part, Stack)]
    assert unparse(stacks[0]) == "stack(pre(lin()), pre(glu()))"
    copy = [part for part in trunk.parts if part is not stacks[0]]
    changed = sum(unparse(a) != unparse(b) for a, b in zip(copy, stacks[0].pattern, strict=True))
    assert changed == 1
    assert edited.text.startswith("split: a copy of stack(pre(lin()), pre(glu())) with ")


def test_an_insertion_and_a_pruning_say_where() -> None:
    parent = genome("seq(pre(lin()), pre(glu()))")
    pruned = {edit(parent, TOY, random.Random(seed), kinds=["prune"]).text for seed in range(40)}
    assert pruned == {
        "prune: pre(lin()) from seq at lm",
        "prune: pre(glu()) from seq at lm",
        "prune: seq(pre(lin()), pre(glu())) -> its part pre(lin()) at lm",
        "prune: seq(pre(lin()), pre(glu())) -> its part pre(glu()) at lm",
    }
    inserted = [edit(parent, TOY, random.Random(seed), kinds=["insert"]).text for seed in range(40)]
    assert all(" into " in text or " before " in text or " after " in text for text in inserted)


@node
class Bare(Node):
    """A block without knobs."""

    sort = Sort.BLOCK
    op: Node = child(Sort.OPERATOR, meaning="what is done")


def test_what_canonicalises_back_to_the_parent_is_no_edit() -> None:
    """With room for one block more, a stack of equal blocks is the same stack."""
    language = Language((Classify, Stack, Bare, Mirror))
    parent = Classify(core=Stack(pattern=(Bare(op=Mirror()),)))
    with pytest.raises(ValueError, match="changes classify") as caught:
        edit(parent, language, random.Random(0), kinds=["insert", "wrap"], most=6)
    assert "within 6 nodes; allow other kinds or more nodes" in str(caught.value)
    for seed in range(20):
        edited = edit(parent, language, random.Random(seed), most=6)
        assert unparse(edited.node) == "classify(bare(mirror()))"


def test_an_exhausted_set_of_edits_is_explained() -> None:
    parent = genome("pre(mirror())".join(("classify(", ")")))
    with pytest.raises(ValueError) as caught:
        edit(parent, TOY, random.Random(0), kinds=["prune", "split"])
    assert str(caught.value) in {
        f"no edit of kind {kinds} changes classify(pre(mirror())) within 48 nodes; "
        "allow other kinds or more nodes"
        for kinds in ("prune or split", "split or prune")
    }


def test_kinds_are_checked() -> None:
    wrong: Any = ["tune", "mutate"]
    with pytest.raises(ValueError, match=r"edit makes the kinds replace, .*, not mutate"):
        edit(genome("pre(lin())"), TOY, random.Random(0), kinds=wrong)
    with pytest.raises(ValueError, match="a graft needs a donor: call graft"):
        edit(genome("pre(lin())"), TOY, random.Random(0), kinds=["graft"])


def test_a_graft_prefers_a_part_of_like_size() -> None:
    parent = genome("stack(pre(lin()))")
    donor = genome("seq(par(gate(glu(), conv()), glu()), repeat(2, pre(glu()), pre(conv())))")
    for seed in range(30):
        edited = graft(parent, donor, TOY, random.Random(seed))
        before, after = edited.before.count("("), edited.after.count("(")
        assert before <= 2 * after
        assert after <= 2 * before


def test_a_graft_respects_what_the_place_requires() -> None:
    parent = genome("pre(gate(lin(), lin(heads=2)))")
    donor = parse("classify(par(mirror(), attn()))", TOY)
    seen = {graft(parent, donor, TOY, random.Random(seed)).node for seed in range(30)}
    assert all(check(tree, TOY) == () for tree in seen)
    assert not any("mirror" in unparse(tree) for tree in seen)
    only = parse("classify(pre(mirror()))", TOY)
    with pytest.raises(ValueError, match=r"no part of classify\(pre\(mirror\(\)\)\) fits into"):
        graft(parent, only, TOY, random.Random(0))


def test_the_same_seed_makes_the_same_edit() -> None:
    parent = sampled(11).root
    first, second = (edit(parent, TOY, random.Random(4)) for _ in range(2))
    assert first == second
