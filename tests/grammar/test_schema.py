from __future__ import annotations

import copy
import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings

from palmette.errors import GenomeError
from palmette.grammar import Language, Node, Sort, check, from_json, json_schema, parse, to_json

from .toy import TOY, Mirror, Pre, sampled, seeds

DEPTH = 8
VALIDATOR = jsonschema.Draft202012Validator(json_schema(TOY, DEPTH))


def depth_of(node: Node) -> int:
    return 1 + max(map(depth_of, node.nodes()), default=0)


def faults(data: object) -> list[str]:
    with pytest.raises(GenomeError) as caught:
        from_json(data, TOY)
    return [fault.message for fault in caught.value.faults]


@given(seeds)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_json_is_read_back_as_the_same_tree(seed: int) -> None:
    root = sampled(seed).root
    assert from_json(json.loads(json.dumps(to_json(root))), TOY) == root


def test_json_is_as_documented() -> None:
    root = parse("repeat(3, pre(glu(ratio=1/2), norm='layer'), pre(lin(negative=True)))", TOY)
    assert to_json(root) == {
        "node": "lm",
        "core": {
            "node": "repeat",
            "n": 3,
            "parts": [
                {"node": "pre", "op": {"node": "glu", "ratio": "1/2"}, "norm": "layer"},
                {"node": "pre", "op": {"node": "lin", "negative": True}},
            ],
        },
    }


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(TOY, DEPTH))


def test_the_schema_accepts_every_genome_that_is_shallow_enough() -> None:
    accepted = 0
    for seed in range(300):
        root = sampled(seed).root
        fits = depth_of(root) <= DEPTH
        assert VALIDATOR.is_valid(to_json(root)) is fits
        accepted += fits
    assert accepted > 200


def test_what_the_schema_accepts_can_be_read_and_the_rest_cannot() -> None:
    """Genomes damaged in one place; some are genomes still."""
    rng = random.Random(0)
    verdicts = {True: 0, False: 0}
    for seed in range(400):
        data = to_json(sampled(seed).root)
        damage(data, rng)
        if VALIDATOR.is_valid(data):
            assert check(from_json(data, TOY), TOY) == ()
            verdicts[True] += 1
        elif depth_of_json(data) <= DEPTH:
            faults(data)
            verdicts[False] += 1
    assert min(verdicts.values()) > 25


def damage(data: dict[str, Any], rng: random.Random) -> None:
    places = [data]
    for place in places:
        for held in place.values():
            places += [held] if isinstance(held, dict) else []
            places += held if isinstance(held, list) else []
    place = rng.choice(places)
    key = rng.choice(list(place))
    match rng.randrange(4):
        case 0:
            del place[key]
        case 1:
            place[key] = rng.choice([None, 2, "beta", "4", True, [], {"node": "lin"}])
        case 2:
            place[rng.choice(["erase", "norm", "op", "ratio", "n", "top"])] = rng.choice([1, "rms"])
        case _:
            place[key] = copy.deepcopy(rng.choice(places))


def depth_of_json(data: object) -> int:
    if isinstance(data, list):
        return max(map(depth_of_json, data), default=0)
    return 1 + depth_of_json(list(data.values())) if isinstance(data, dict) else 0


def test_all_faults_are_reported_with_their_paths() -> None:
    data = {
        "node": "lm",
        "core": {
            "node": "seq",
            "parts": [
                {"node": "pre", "op": {"node": "lni"}, "norm": "batch"},
                {"node": "pre", "op": {"node": "glu", "ratio": "3"}, "ops": 1},
                {"node": "pre"},
                {"node": "lin", "heads": True},
                {"node": "pre", "op": {"node": "conv", "padding": "same"}},
                {"node": "repeat", "parts": {"node": "lin"}},
                {"node": "par", "branches": []},
                3,
            ],
        },
    }
    found = faults(data)
    assert [message.partition(" There are")[0] for message in found] == [
        "$.core.parts: seq wants 1 to 6 of these, got 8",
        "$.core.parts[0].op: no node is called 'lni'; did you mean 'lin'?",
        "$.core.parts[0].norm: pre.norm wants 'rms', 'layer' or 'none', got 'batch'",
        "$.core.parts[1]: pre has no field 'ops'; its fields are op, norm",
        "$.core.parts[1].op.ratio: glu.ratio wants 8/3, 4 or 1/2, got '3'",
        "$.core.parts[2]: pre needs op: an Op",
        "$.core.parts[3]: wanted a Core or Block, got lin(...), which is an Op; "
        "did you mean pre(lin(...))?",
        "$.core.parts[3].heads: lin.heads wants 4, 1, 2 or 8, got True",
        "$.core.parts[4].op.padding: conv.padding='same' is not causal, which this place "
        "requires; use 'left'",
        "$.core.parts[5].n: repeat needs n, one of [2, 3, 4]",
        "$.core.parts[5].parts: wanted a list of nodes, got an object",
        "$.core.parts[6].branches: par wants 2 to 4 of these, got 0",
        '$.core.parts[7]: wanted a Core or Block, {"node": ...}, got 3',
    ]


@pytest.mark.parametrize("data", [None, [], {}, "lm(pre(lin()))", {"node": 3}, {"node": ["lm"]}])
def test_what_is_no_genome_at_all(data: object) -> None:
    (message,) = faults(data)
    assert message.startswith('$: wanted a Model, {"node": ...}, got ')


def test_depth_is_bounded() -> None:
    data: dict[str, Any] = {"node": "pre", "op": {"node": "lin"}}
    for _ in range(200):
        data = {"node": "stack", "pattern": [data]}
    (message,) = faults({"node": "lm", "core": data})
    assert message.endswith("a genome is at most 64 nodes deep")


def test_a_schema_needs_some_depth_and_some_completion() -> None:
    with pytest.raises(ValueError, match="a Model does not fit into depth 2; allow more"):
        json_schema(TOY, 2)
    shallow = json_schema(TOY, 3)
    assert jsonschema.Draft202012Validator(shallow).is_valid(to_json(parse("pre(lin())", TOY)))
    assert "Op-causal-1" in shallow["$defs"]
    language = Language((TOY.get("lm"), Pre, Mirror))
    with pytest.raises(ValueError, match="does not fit"):
        json_schema(language, 9)


def test_a_part_has_a_schema_too() -> None:
    operators = jsonschema.Draft202012Validator(json_schema(TOY, 1, Sort.OPERATOR))
    assert operators.is_valid({"node": "mirror"})
    assert not operators.is_valid({"node": "pre", "op": {"node": "lin"}})
