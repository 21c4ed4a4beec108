from __future__ import annotations

import json
import random
import re
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.errors import GenomeError
from palmette.grammar import Effect, Language, Node, Sort, canonical, check, children, node, unparse
from palmette.grammar.json_gbnf import json_gbnf
from palmette.grammar.units import (
    Partial,
    begun,
    closed,
    fill,
    open_places,
    opened,
    room,
    shown,
    unit_schema,
)

from .toy import LM, TOY, Lin, Pre, sampled, seeds


def drawn(schema: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """A unit that a schema of units allows."""
    one = rng.choice(schema["anyOf"])
    unit = {"node": one["properties"]["node"]["const"]}
    for name, values in one["properties"].items():
        if name != "node" and (name in one["required"] or rng.random() < 0.5):
            unit[name] = rng.choice(values["enum"])
    return unit


def damaged(unit: dict[str, Any], rng: random.Random) -> object:
    name = rng.choice(list(unit))
    wrong = rng.choice(["nonsense", 99, None, [], {"node": "pre"}, True, -1])
    return rng.choice([unit | {name: wrong}, unit | {"more": 1}, [unit], wrong])


def faults(partial: Partial, data: object, language: Language = TOY) -> list[str]:
    with pytest.raises(GenomeError) as caught:
        fill(partial, data, language)
    return [fault.message for fault in caught.value.faults]


def filled(*units: dict[str, Any], most: int = 32) -> Partial:
    partial = begun(LM, TOY, most)
    for unit in units:
        partial = fill(partial, unit, TOY)
    return partial


@given(seeds, st.integers(3, 40), st.booleans())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_every_sequence_of_units_ends_in_a_genome(seed: int, most: int, stopped: bool) -> None:
    """Illegal units on the way are refused, and what was there is still there."""
    rng = random.Random(seed)
    partial = begun(LM, TOY, most)
    for _ in range(most):
        if not open_places(partial) or (stopped and rng.random() < 0.2):
            break
        schema = unit_schema(partial, TOY)
        legal, damage = drawn(schema, rng), damaged(drawn(schema, rng), rng)
        before, text = partial, shown(partial)
        if not jsonschema.Draft202012Validator(schema).is_valid(damage):
            faults(partial, damage)
        assert (partial, shown(partial)) == (before, text)
        partial = fill(partial, legal, TOY)
        assert len(list(partial.tree.walk())) <= most
    assert stopped or not open_places(partial)
    for rng_or_none in (None, rng):
        made = closed(partial, TOY, rng_or_none)
        assert check(made, TOY) == ()
        assert canonical(made) == made
        assert len(list(made.walk())) <= most


@given(seeds)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_a_part_of_a_genome_is_built_anew(seed: int) -> None:
    rng, root = random.Random(seed), sampled(seed).root
    path, old = rng.choice([*root.walk()][1:])
    partial = opened(root, path, TOY, most=12)
    (place,) = open_places(partial)
    assert place.path == path
    assert "HERE" in shown(partial)
    assert room(partial) >= len(list(old.walk()))
    while open_places(partial):
        partial = fill(partial, drawn(unit_schema(partial, TOY), rng), TOY)
    assert check(closed(partial, TOY), TOY) == ()


def test_what_is_wrong_is_said_about_one_unit() -> None:
    start = begun(LM, TOY, 8)
    assert faults(start, {"node": "sec"})[0].startswith("$: no node is called 'sec'; did you mean")
    assert faults(start, [])[0] == '$: wanted a Core or Block, {"node": ...}, got a list'
    assert faults(start, {"node": "lin"}) == [
        "$: wanted a Core or Block, got lin(...), which is an Op; did you mean pre(lin(...))?"
    ]
    assert faults(start, {"node": "seq", "parts": 9, "norm": 1}) == [
        "$: seq has no field 'norm'; its fields are parts",
        "$.parts: seq wants 1 to 6 of these, got 9",
    ]
    assert faults(start, {"node": "seq", "parts": [{"node": "pre"}]}) == [
        "$.parts: wanted how many children, 1 to 6; they are filled next"
    ]
    assert faults(start, {"node": "seq", "parts": 4}) == [
        "$: seq with so many children needs 9 nodes, there is room for 7; give it fewer"
    ]
    assert faults(start, {"node": "pre", "op": {"node": "lin"}, "norm": "rsm"}) == [
        "$.norm: pre.norm wants 'rms', 'layer' or 'none', got 'rsm'; did you mean 'rms'?",
        "$.op: is a place of its own, filled next; leave it out here",
    ]
    inside = fill(start, {"node": "pre"}, TOY)
    assert faults(inside, {"node": "mirror"}) == [
        "$: mirror is not causal, which this place requires; use another node"
    ]
    assert faults(inside, {"node": "conv", "padding": "same"}) == [
        "$: conv.padding='same' is not causal, which this place requires; use 'left'"
    ]
    assert faults(begun(LM, TOY, 3), {"node": "repeat", "n": 2}) == [
        "$: repeat needs 3 nodes or more, there is room for 2; use one of: pre"
    ]
    assert faults(start, {"node": "repeat"}) == ["$.n: repeat needs n, one of [2, 3, 4]"]


def test_places_are_filled_in_the_order_of_the_text() -> None:
    partial = filled({"node": "seq", "parts": 2}, {"node": "pre", "norm": "layer"})
    assert shown(partial) == "lm(seq(pre(HERE, norm='layer'), OPEN))"
    partial = fill(partial, {"node": "gate"}, TOY)
    assert shown(partial) == "lm(seq(pre(gate(HERE, OPEN), norm='layer'), OPEN))"
    assert open_places(partial)[0].place.startswith("lm/seq/pre/gate/")
    required = [Effect.LINEAR_TIME in place.required for place in open_places(partial)]
    assert required == [False, True, False]


def test_what_is_left_open_is_completed_least_or_at_random() -> None:
    partial = filled({"node": "seq", "parts": 2}, {"node": "pre"}, {"node": "glu"})
    assert unparse(closed(partial, TOY)) == "lm(seq(pre(glu()), pre(lin())))"
    texts = {unparse(closed(partial, TOY, random.Random(seed))) for seed in range(20)}
    assert len(texts) > 10


def test_the_schema_and_the_grammar_hold_the_same_units() -> None:
    partial = filled({"node": "seq", "parts": 2}, most=9)
    schema, rng = unit_schema(partial, TOY), random.Random(0)
    jsonschema.Draft202012Validator.check_schema(schema)
    pattern = regular(json_gbnf(schema))
    for _ in range(100):
        unit = drawn(schema, rng)
        (needed,) = (
            o["required"]
            for o in schema["anyOf"]
            if o["properties"]["node"]["const"] == unit["node"]
        )
        ordered = {name: unit[name] for name in (*needed, *unit)}
        assert pattern.fullmatch(json.dumps(ordered)), unit
    assert not pattern.fullmatch('{"node": "seq", "parts": 6}')  # no room
    assert not pattern.fullmatch('{"node": "lin"}')
    strict = unit_schema(partial, TOY, every=True)
    assert all(set(one["properties"]) == set(one["required"]) for one in strict["anyOf"])


def regular(grammar: str) -> re.Pattern[str]:
    """A grammar of one rule as a regular expression."""
    (rule,) = grammar.splitlines()
    token = re.compile(r'"((?:\\.|[^"\\])*)"|([()|?])| ')

    def part(match: re.Match[str]) -> str:
        literal, sign = match.groups()
        return re.escape(json.loads(f'"{literal}"')) if literal is not None else (sign or "")

    return re.compile(token.sub(part, rule.removeprefix("root ::= ")))


@node
class Any_Of(Node):  # noqa: N801
    """A field that may be empty."""

    sort = Sort.CORE
    parts: tuple[Node, ...] = children(
        Sort.UPDATE, least=0, most=2, meaning="any of what there is not"
    )


def test_a_field_that_nothing_can_fill_stays_empty() -> None:
    language = Language((LM, Pre, Lin, Any_Of))
    partial = begun(LM, language, 5)
    assert faults(partial, {"node": "any_of", "parts": 1}, language) == [
        "$.parts: nothing can stand here; write 0"
    ]
    assert unparse(fill(partial, {"node": "any_of", "parts": 0}, language).tree) == "lm(any_of())"
    (one,) = (o for o in unit_schema(partial, language)["anyOf"] if "parts" in o["properties"])
    assert one["properties"]["parts"] == {"enum": [0]}


def test_bounds_are_said() -> None:
    with pytest.raises(ValueError, match="at most 64 nodes, got 65"):
        begun(LM, TOY, 65)
    with pytest.raises(ValueError, match="the smallest lm has 3 nodes; allow more"):
        begun(LM, TOY, 2)
