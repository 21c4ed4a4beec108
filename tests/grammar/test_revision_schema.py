from __future__ import annotations

import json
import random
from functools import cache
from typing import Any

import jsonschema
import pytest

import palmette
from palmette.errors import GenomeError
from palmette.grammar import (
    Effect,
    Language,
    Node,
    Sort,
    canonical,
    check,
    effects,
    gbnf,
    json_gbnf,
    json_schema,
    parse,
    revise,
    sample_genome,
    to_json,
)
from palmette.grammar.revision import MOVES, insertable, numbered, parents, pruned
from palmette.grammar.revision_schema import answer_schema, revision_gbnf, revision_schema

from .test_gbnf import Notation
from .toy import TOY, Lin, Pre, sampled

WHOLE = palmette.language()
FEW = "lm stack seq pre lin glu attn conv gate par scan moe"
MENU = Language(tuple(cls for cls in WHOLE.nodes if cls.name in FEW.split()))
PARENT = canonical(parse("seq(stack(pre(lin()), pre(glu())), par(lin(), conv()))", TOY))
UNKNOWABLE = ("changes nothing", "nodes, of 48 at most", "in the genome that this makes")


def written(schema: dict[str, Any], rng: random.Random, defined: dict[str, Any]) -> Any:
    """A random document that a schema accepts."""
    if "$ref" in schema:
        return written(defined[schema["$ref"].removeprefix("#/$defs/")], rng, defined)
    if "anyOf" in schema:
        return written(rng.choice(schema["anyOf"]), rng, defined)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if schema["type"] == "array":
        number = rng.randint(schema["minItems"], schema["maxItems"])
        return [written(schema["items"], rng, defined) for _ in range(number)]
    return {
        name: written(inner, rng, defined)
        for name, inner in schema["properties"].items()
        if name in schema["required"] or rng.random() < 0.3
    }


def told_of(root: Node, data: object, language: Language) -> list[str]:
    """The faults of a revision, none if it is legal."""
    try:
        edited = revise(root, data, language)
    except GenomeError as error:
        return [fault.message for fault in error.faults]
    assert check(edited.node, language, sort=Sort.MODEL) == ()
    return []


@pytest.mark.parametrize("every", [False, True], ids=["short", "every"])
@pytest.mark.parametrize("toy", [True, False], ids=["toy", "whole"])
def test_what_the_schema_accepts_is_an_edit(toy: bool, every: bool) -> None:
    rng = random.Random(0)
    legal = 0
    for seed in range(60):
        language, menu = (TOY, TOY) if toy else (WHOLE, MENU)
        root = sampled(seed).root if toy else sample_genome(WHOLE, random.Random(seed)).root
        schema = revision_schema(root, menu, 3, every=every)
        for _ in range(4):
            data = written(schema, rng, schema["$defs"])
            told = told_of(root, data, language)
            assert all(any(part in one for part in UNKNOWABLE) for one in told), (data, told)
            legal += not told
    assert legal > 200


def test_the_schema_names_every_place_where_a_move_is_possible() -> None:
    for seed in range(40):
        root = sampled(seed).root
        schema = revision_schema(root, TOY)
        offered = {move: set[str]() for move in MOVES}
        for way in schema["anyOf"]:
            fields = way["properties"]
            offered[fields["move"]["const"]] |= set(fields.get("at", {"enum": ["p0"]})["enum"])
        places = dict(numbered(root))
        above = parents(places.items())
        below = set(places) - {"p0"}
        assert offered["replace"] == below
        assert offered["rewrite"] == {"p0"}
        assert offered["prune"] == {name for name in below if pruned(above[name], places[name])}
        assert offered["insert"] == {
            name for name in below if insertable(above[name], places[name], TOY)
        }
        assert offered["tune"] == {name for name in places if places[name].node.knobs()}


def test_what_is_illegal_is_not_accepted() -> None:
    schema = revision_schema(PARENT, TOY)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    lin = {"node": "lin"}
    assert validator.is_valid({"move": "replace", "at": "p4", "new": lin})
    for data in [
        {"move": "replace", "at": "p0", "new": lin},
        {"move": "replace", "at": "p3", "new": lin},
        {"move": "replace", "at": "p4", "new": {"node": "mirror"}},
        {"move": "replace", "at": "p4", "new": "lin()"},
        {"move": "insert", "at": "p4", "side": "after", "new": lin},
        {"move": "prune", "at": "p4"},
        {"move": "prune", "at": "p3", "new": None},
        {"move": "tune", "at": "p4", "knob": "heads", "value": 4},
        {"move": "tune", "at": "p4", "knob": "ratio", "value": "4"},
        {"move": "tune", "at": "p8", "knob": "padding", "value": "same"},
        {"move": "rewrite", "new": {"node": "classify", "core": {"node": "pre", "op": lin}}},
    ]:
        assert not validator.is_valid(data), data
        assert told_of(PARENT, data, TOY) or data.get("new") in ("lin()", None)


def test_moves_and_depth_can_be_chosen() -> None:
    schema = revision_schema(PARENT, TOY, 1, moves=("replace", "prune"))
    moves = {way["properties"]["move"]["const"] for way in schema["anyOf"]}
    assert moves == {"replace", "prune"}
    assert schema["anyOf"][0]["properties"]["at"]["enum"] == [
        "p4",
        "p6",
        "p8",
        "p9",
    ]  # no block is one node deep
    lone = parse("pre(lin())", TOY)
    with pytest.raises(ValueError, match=r"none of the moves prune is possible in lm\(...\)"):
        revision_schema(lone, Language((TOY.get("lm"), Pre, Lin)), moves=("prune",))


def test_with_every_each_property_is_required() -> None:
    def objects(schema: Any) -> list[dict[str, Any]]:
        inner = schema.values() if isinstance(schema, dict) else schema
        below = [one for part in inner if isinstance(part, dict | list) for one in objects(part)]
        here = isinstance(schema, dict) and schema.get("type") == "object"
        return [schema, *below] if here else below

    for schema in (revision_schema(PARENT, TOY, every=True), json_schema(TOY, every=True)):
        found = objects(schema)
        assert len(found) > 20
        assert all(one["required"] == list(one["properties"]) for one in found)
        assert all(one["additionalProperties"] is False for one in found)


def test_what_is_required_of_the_whole_holds_in_the_schema_too() -> None:
    required = frozenset({Effect.LINEAR_TIME})
    short = json_schema(TOY, 5, required=required)
    rng = random.Random(0)
    assert '"attn"' not in json.dumps(short)
    assert "attn" not in gbnf(TOY, 5, required=required)
    parent = parse("stack(pre(lin()), pre(glu()))", TOY)
    schema = revision_schema(parent, TOY, required=required)
    for _ in range(40):
        data = written(schema, rng, schema["$defs"])
        try:
            assert required <= effects(revise(parent, data, TOY, required=required).node)
        except GenomeError as error:
            assert all(any(p in str(f) for p in UNKNOWABLE) for f in error.faults)  # noqa: PT017


def test_the_schema_is_small_for_a_menu() -> None:
    for name in ("deltanet", "jamba", "deepseek_v4"):
        root = palmette.parse(name_of(name)).root
        for every in (False, True):
            assert len(json.dumps(revision_schema(root, MENU, every=every))) < 30_000
        assert len(revision_gbnf(root, MENU)) < 30_000


@cache
def name_of(name: str) -> str:
    from palmette.model import atlas

    return str(atlas.load(name))


def test_the_grammar_writes_what_the_schema_accepts() -> None:
    rng = random.Random(0)
    for seed in range(12):
        root = sampled(seed).root
        schema = revision_schema(root, TOY)
        notation = Notation.read(revision_gbnf(root, TOY))
        validator = jsonschema.Draft202012Validator(schema)
        for _ in range(10):
            assert validator.is_valid(json.loads(notation.generate(rng)))
            data = written(schema, rng, schema["$defs"])
            assert notation.accepts(json.dumps(data)), data


def test_a_whole_genome_has_a_grammar_of_its_json() -> None:
    notation = Notation.read(json_gbnf(json_schema(TOY, 5)))
    assert notation.accepts(json.dumps(to_json(PARENT)))
    assert not notation.accepts(json.dumps(to_json(PARENT) | {"node": "seq"}))


def test_an_answer_holds_an_edit_last_with_its_definitions_at_the_top() -> None:
    schema = answer_schema(
        motivation={"type": "string", "maxLength": 9},
        change={"type": "number"},
        edit=revision_schema(PARENT, TOY),
    )
    assert list(schema["properties"]) == schema["required"] == ["motivation", "change", "edit"]
    assert "$defs" not in schema["properties"]["edit"]
    validator = jsonschema.Draft202012Validator(schema)
    edit = {"move": "prune", "at": "p3"}
    assert validator.is_valid({"motivation": "less", "change": 0.5, "edit": edit})
    assert not validator.is_valid({"motivation": "less" * 9, "change": 0.5, "edit": edit})
    rules = dict(line.split(" ::= ", 1) for line in json_gbnf(schema).splitlines())
    assert rules["root"].startswith(
        r'"{\"motivation\": " "\"" character{0,9} "\"" ", \"change\": " number ", \"edit\": " ('
    )
    assert {"character", "number", "integer"} <= set(rules)


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "object", "properties": {"a": {"const": 1}}}, "a required property among a"),
        ({"not": {}}, 'knows no schema such as {"not": {}}'),
    ],
)
def test_a_schema_that_is_not_known_is_refused(schema: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        json_gbnf(schema)
