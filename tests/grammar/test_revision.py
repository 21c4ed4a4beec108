from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palmette
from palmette.errors import GenomeError
from palmette.grammar import (
    Edited,
    Effect,
    Genome,
    Language,
    Node,
    Sort,
    canonical,
    check,
    effects,
    parse,
    sample,
    sample_genome,
    to_json,
    unparse,
)
from palmette.grammar.node import fields_of
from palmette.grammar.revision import MOVES, insertable, numbered, parents, pruned, revise
from palmette.grammar.types import NO_EFFECTS, Effects, Knob

from .toy import TOY, sampled, seeds

WHOLE = palmette.language()
PARENT = canonical(parse("seq(stack(pre(lin()), pre(glu())), par(lin(), conv()))", TOY))
# p0 lm, p1 seq, p2 stack, p3 pre, p4 lin, p5 pre, p6 glu, p7 par, p8 conv, p9 lin

EXPLAINED = (  # what a revision that is well typed at its place may still be refused for
    "changes nothing",
    "already",
    "nodes, of 48 at most",
    "is needed where it stands",
    "has no knob",
    "nothing can stand beside",
    "in the genome that this makes",
)


def genome(text: str) -> Node:
    return canonical(parse(text, TOY))


def made(root: Node, **data: object) -> str:
    return unparse(revise(root, data, TOY).node)


def faults(data: object, root: Node = PARENT, **options: Any) -> list[str]:
    with pytest.raises(GenomeError) as caught:
        revise(root, data, TOY, **options)
    return [fault.message for fault in caught.value.faults]


def size(tree: Node) -> int:
    return sum(1 for _ in tree.walk())


def attempt(root: Node, data: object, language: Language, required: Effects) -> Edited | list[str]:
    """The edit, or the faults."""
    try:
        return revise(root, data, language, required=required)
    except GenomeError as error:
        return [fault.message for fault in error.faults]


def assert_good(edited: Edited, root: Node, language: Language, required: Effects) -> None:
    assert check(edited.node, language, required, Sort.MODEL) == ()
    assert required <= effects(edited.node)
    assert canonical(edited.node) == edited.node
    assert Genome(edited.node) != Genome(root)
    assert type(edited.node) is type(root)
    assert size(edited.node) <= max(48, size(root))
    assert edited.text.startswith(f"{edited.kind}: ")
    assert edited.before == unparse(dict(root.walk())[edited.path])


def drawn(root: Node, language: Language, rng: random.Random, required: Effects) -> dict[str, Any]:
    """A revision that is well typed at its place, whatever becomes of the whole."""
    places = numbered(root, required)
    data: dict[str, Any] = {"move": rng.choice(MOVES)}
    if data["move"] == "rewrite":
        return data | {"new": to_json(sample_genome(language, rng, 20, required, type(root)).root)}
    if data["move"] == "tune":
        name, site = rng.choice(places)
        knobs = {k: s for k, s in fields_of(type(site.node)).items() if isinstance(s, Knob)}
        if not knobs:
            return data | {"at": name, "knob": "none", "value": 1}
        knob, spec = rng.choice(list(knobs.items()))
        value = rng.choice(spec.allowed(site.required))
        plain = str(value) if isinstance(value, Fraction) else value
        return data | {"at": name, "knob": knob, "value": plain}
    name, site = rng.choice(places[1:])
    data["at"] = name
    if data["move"] == "prune":
        return data
    want = (site.sort, site.required)
    if data["move"] == "insert":
        data["side"] = rng.choice(["before", "after"])
        want = insertable(parents(places)[name], site, language) or want
    new = sample(language, *(want[0], rng, want[1]), most=20)
    return data | {"new": unparse(new) if rng.random() < 0.3 else to_json(new)}


@pytest.mark.parametrize("language", [TOY, WHOLE], ids=["toy", "whole"])
@pytest.mark.parametrize(
    "required", [NO_EFFECTS, frozenset({Effect.CAUSAL, Effect.TOKEN_FREE})], ids=["any", "kept"]
)
@given(seed=seeds)
@settings(max_examples=100, derandomize=True, deadline=None)
def test_what_is_well_typed_at_its_place_becomes_a_genome_or_is_explained(
    language: Language, required: Effects, seed: int
) -> None:
    rng = random.Random(seed)
    root = sample_genome(language, rng, required=required).root
    data = drawn(root, language, rng, required)
    made = attempt(root, data, language, required)
    if isinstance(made, Edited):
        assert made.kind == data["move"]
        assert_good(made, root, language, required)
    else:
        assert all(any(part in told for part in EXPLAINED) for told in made)


@given(seeds)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_pruning_makes_genomes_smaller(seed: int) -> None:
    root = sampled(seed).root
    above = parents(numbered(root))
    for name, site in numbered(root):
        if pruned(above[name], site):
            edited = revise(root, {"move": "prune", "at": name}, TOY)
            assert size(edited.node) < size(root)
            assert_good(edited, root, TOY, NO_EFFECTS)


def test_each_move_does_what_it_says() -> None:
    assert made(PARENT, move="replace", at="p4", new={"node": "conv"}) == (
        "lm(seq(stack(pre(conv()), pre(glu())), par(conv(), lin())))"
    )
    assert made(PARENT, move="replace", at="p4", new="gate(lin(), conv())") == (
        "lm(seq(stack(pre(gate(lin(), conv())), pre(glu())), par(conv(), lin())))"
    )
    assert made(PARENT, move="insert", at="p5", side="before", new="pre(conv())") == (
        "lm(seq(stack(pre(lin()), pre(conv()), pre(glu())), par(conv(), lin())))"
    )
    assert made(PARENT, move="insert", at="p1", side="after", new="pre(conv())") == (
        "lm(seq(stack(pre(lin()), pre(glu())), par(conv(), lin()), pre(conv())))"
    )
    assert made(PARENT, move="insert", at="p8", side="after", new={"node": "glu"}) == (
        "lm(seq(stack(pre(lin()), pre(glu())), par(conv(), glu(), lin())))"
    )
    assert made(PARENT, move="tune", at="p4", knob="erase", value="beta") == (
        "lm(seq(stack(pre(lin(erase='beta')), pre(glu())), par(conv(), lin())))"
    )
    assert made(PARENT, move="tune", at="p6", knob="ratio", value=4.0) == (
        "lm(seq(stack(pre(lin()), pre(glu(ratio=4))), par(conv(), lin())))"
    )
    assert made(PARENT, move="tune", at="p0", knob="tied", value=False) == (
        "lm(seq(stack(pre(lin()), pre(glu())), par(conv(), lin())), tied=False)"
    )
    assert made(PARENT, move="rewrite", new="pre(lin())") == "lm(pre(lin()))"


def test_what_a_pruned_node_leaves() -> None:
    assert made(PARENT, move="prune", at="p3") == "lm(seq(stack(pre(glu())), par(conv(), lin())))"
    assert made(genome("seq(pre(lin()), pre(glu()))"), move="prune", at="p2") == "lm(pre(glu()))"
    assert made(genome("stack(pre(lin()))"), move="prune", at="p1") == "lm(pre(lin()))"
    gated = genome("pre(gate(lin(), conv()))")
    assert made(gated, move="prune", at="p4") == "lm(pre(lin()))"
    assert made(gated, move="prune", at="p3") == "lm(pre(conv()))"


def test_a_full_list_is_inserted_into_by_a_sequence() -> None:
    full = genome("stack(pre(lin()), pre(glu()), pre(conv()), pre(attn()))")
    assert made(full, move="insert", at="p2", side="after", new="pre(glu())").startswith(
        "lm(stack(seq(pre(lin()), pre(glu())), pre(glu()), "
    )


def test_an_edit_says_what_it_is() -> None:
    edited = revise(
        PARENT, {"move": "insert", "at": "p5", "side": "after", "new": "pre(lin())"}, TOY
    )
    assert (edited.kind, edited.path) == ("insert", (0, 0))
    assert edited.text == "insert: pre(lin()) after pre(glu()) at lm/seq"
    edited = revise(PARENT, {"move": "rewrite", "new": "lm(pre(lin()))"}, TOY)
    assert (edited.kind, edited.path) == ("rewrite", ())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (
            {"move": "replace", "at": "p99", "new": {"node": "lni"}, "size": 3},
            [
                "$: replace takes at and new; leave out 'size'",
                "$.at: no place is called 'p99'; there are p0 lm, p1 seq, p2 stack, p3 pre, "
                "p4 lin, p5 pre, p6 glu, p7 par, p8 conv, p9 lin",
                "$.new: no node is called 'lni'; did you mean 'lin'? There are: attn, classify, "
                "conv, gate, glu, lin, lm, mirror, par, pre, repeat, route, seq, stack",
            ],
        ),
        (
            {"move": "replace", "at": "p3", "new": {"node": "lin", "heads": 3}},
            [
                "$.new: wanted a Core or Block, got lin(...), which is an Op; "
                "did you mean pre(lin(...))?",
                "$.new.heads: lin.heads wants 4, 1, 2 or 8, got 3",
            ],
        ),
        (
            {"move": "replace", "at": "p4", "new": "gate(lni(), mirror())"},
            [
                "$.new: line 1, column 6: no node is called 'lni'; did you mean 'lin'? There are: "
                "attn, classify, conv, gate, glu, lin, lm, mirror, par, pre, repeat, route, seq, "
                "stack",
                "$.new: line 1, column 13: mirror is not causal, which this place requires; "
                "use another node",
            ],
        ),
        (
            {"move": "replace", "at": "p0", "new": "lm(pre(lin()))"},
            ["$.at: p0 is the model and stays lm: replace p1, or use rewrite"],
        ),
        (
            {"move": "insert", "at": "p4", "side": "left", "new": "conv()"},
            [
                "$.side: wanted 'before' or 'after', got 'left'",
                "$.at: nothing can stand beside lin here; insert at p1 seq, p2 stack, p3 pre, "
                "p5 pre, p7 par, p8 conv, p9 lin",
            ],
        ),
        (
            {"move": "prune", "at": "p4"},
            ["$.at: lin is needed where it stands; prune p2 stack, p3 pre, p5 pre, p7 par"],
        ),
        (
            {"move": "tune", "at": "p4", "knob": "erased", "value": 1},
            ["$.knob: lin has no knob called 'erased'; its knobs are erase, heads, negative"],
        ),
        (
            {"move": "tune", "at": "p4", "knob": "heads", "value": True},
            ["$.value: lin.heads wants 4, 1, 2 or 8, got True"],
        ),
        (
            {"move": "tune", "at": "p8", "knob": "padding", "value": "same"},
            ["$.value: conv.padding='same' is not causal, which this place requires; use 'left'"],
        ),
        (
            {"move": "tune", "at": "p4", "knob": "heads", "value": 4},
            ["$.value: lin.heads is 4 already; use 1, 2 or 8"],
        ),
        ({"move": "tune", "at": "p4"}, ["$: tune needs knob", "$: tune needs value"]),
        (
            {"move": "replace", "at": "p4", "new": "lin()"},
            [f"$: this changes nothing: the genome stays {unparse(PARENT)}; make another change"],
        ),
        (
            {"move": "rewrite", "new": {"node": "classify", "core": "pre(lin())"}},
            ["$.new: the model stays lm(...), got classify(...)"],
        ),
        (
            {"move": "swap"},
            ["$.move: wanted replace, insert, prune, tune or rewrite, got 'swap'"],
        ),
        (
            ["prune"],
            ['$: wanted {"move": replace, insert, prune, tune or rewrite, ...}, got a list of 1'],
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_every_fault_is_told(data: object, told: list[str]) -> None:
    assert faults(data) == told


def test_a_genome_that_grows_too_large_is_told() -> None:
    data = {"move": "replace", "at": "p4", "new": "gate(lin(), conv())"}
    assert faults(data, most=10) == [
        "$: the genome would have 12 nodes, of 10 at most; take something smaller"
    ]
    assert size(revise(PARENT, data, TOY, most=12).node) == 12


def test_fields_that_a_move_does_not_take_may_be_null() -> None:
    assert made(PARENT, move="prune", at="p3", new=None, side=None).startswith("lm(")


def nested(deep: int) -> dict[str, Any]:
    data: dict[str, Any] = {"node": "pre", "op": {"node": "lin"}}
    for _ in range(deep):
        data = {"node": "stack", "pattern": [data]}
    return data


HOSTILE = {
    "deep": nested(100_000),
    "deep list": (lambda box: [box := [box] for _ in range(100_000)][-1])([]),
    "wide": {"node": "stack", "pattern": [{"node": "pre", "op": {"node": "lin"}}] * 1_000_000},
    "wide and wrong": {"node": "stack", "pattern": [3] * 1_000_000},
    "keys": {"node": "lin", **dict.fromkeys(map(str, range(200_000)), 1)},
    "odd keys": {"node": "lin", 3: 1, 10**9999: 2, None: 3, (10**9999,): 4, float("nan"): 5},
    "nan": {"node": "lin", "heads": float("nan")},
    "infinite": {"node": "lin", "heads": float("-inf")},
    "large": {"node": "lin", "heads": 10**9999},
    "large node": {"node": 10**9999},
    "long name": {"node": "l" * 10_000_000},
    "long text": "l" * 10_000_000,
    "deep text": "gate(" * 10_000,
    "digits": "lin(heads=" + "9" * 15_000 + ")",
    "surrogate": "lin(\ud800)",
    "null": "lin(\0)",
    "bytes": b"lin()",
    "none": None,
    "set": {1, 2},
    "lists": {"node": ["lin"]},
    "number": 10**9999,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_data_is_refused(name: str) -> None:
    hostile = HOSTILE[name]
    for data in [
        hostile,
        {"move": hostile},
        {"move": "replace", "at": hostile, "new": "lin()"},
        {"move": "replace", "at": "p3", "new": hostile},
        {"move": "insert", "at": "p3", "side": hostile, "new": "lin()"},
        {"move": "insert", "at": "p3", "side": "before", "new": hostile},
        {"move": "tune", "at": "p4", "knob": hostile, "value": 1},
        {"move": "tune", "at": "p4", "knob": "heads", "value": hostile},
        {"move": "rewrite", "new": hostile},
        {"move": "rewrite", "new": {"node": "lm", "core": hostile}},
        {"move": "prune", "at": "p4", "more": hostile},
    ]:
        told = faults(data)
        assert len("\n".join(told)) < 100_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["node", "op", "at"]), inner)
        ),
    ),
    st.sampled_from(["at", "side", "new", "knob", "value", "move"]),
    st.sampled_from(MOVES),
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_anything_ends_in_an_edit_or_an_explanation(inner: Any, key: str, move: str) -> None:
    fine = {"move": move, "at": "p4", "side": "after", "new": "lin()", "knob": "heads", "value": 1}
    made = attempt(PARENT, fine | {key: inner}, TOY, NO_EFFECTS)
    if isinstance(made, Edited):
        assert_good(made, PARENT, TOY, NO_EFFECTS)
    else:
        assert all(told.startswith("$") for told in made)
