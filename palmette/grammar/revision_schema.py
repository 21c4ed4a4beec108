"""The JSON Schema of the legal revisions of one genome, and the same as GBNF.

Places and moves are named only where the move is possible, knobs with the values that the place
allows except the one they have, new nodes by the place's sort and required effects. So what a
decoder writes under the schema is an edit, but for what no such grammar can know: that the genome
would become too large, that it would stay the same (a node replaced by an equal one, a sequence
that its canonical form undoes), or that its canonical form would overfill a list.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from palmette.grammar.json_gbnf import json_gbnf
from palmette.grammar.language import Language, Want
from palmette.grammar.levels import Levels, wants_of
from palmette.grammar.node import Node, fields_of
from palmette.grammar.revision import MOVES, SIDES, Move, insertable, numbered, parents, pruned
from palmette.grammar.rules import Site
from palmette.grammar.schema import definitions, node_schema, object_of, plain, reference
from palmette.grammar.types import NO_EFFECTS, Effects, Knob

Places = tuple[tuple[str, Site], ...]


@lru_cache(maxsize=64)
def revision_schema(
    root: Node,
    menu: Language,
    depth: int = 3,
    moves: tuple[Move, ...] = MOVES,
    every: bool = False,
    required: Effects = NO_EFFECTS,
) -> dict[str, Any]:
    """A JSON Schema of the revisions of a genome whose new nodes are from a menu.

    A new node is at most `depth` nodes deep, a rewritten model's core as well. With `every`, each
    property is required. The dictionary is shared between callers: copy it to change it.

    Raises `ValueError` if none of the moves is possible.
    """
    places = numbered(root, required)
    above = parents(places)
    beside = {name: insertable(above[name], site, menu) for name, site in places}
    levels = Levels(menu)
    below = list(wants_of(type(root), required).values())
    here = [(site.sort, site.required) for _, site in places[1:]]
    levels.open([*here, *filter(None, beside.values()), *below], depth)
    ways: list[dict[str, Any]] = []
    for move in moves:
        match move:
            case "replace":
                ways += _replacements(places, levels, depth)
            case "insert":
                ways += _insertions(beside, levels, depth)
            case "prune":
                fitting = [name for name, site in places if pruned(above[name], site)]
                ways += [_move(move, at={"enum": fitting})] if fitting else []
            case "tune":
                ways += _tunings(places)
            case "rewrite":
                if all(levels.possible(want, depth) for want in below):
                    new = node_schema(levels, type(root), required, depth, every, described=False)
                    ways.append(_move(move, new=new))
    if not ways:
        raise ValueError(f"none of the moves {', '.join(moves)} is possible in {root.name}(...)")
    return {"anyOf": ways, "$defs": definitions(levels, every, described=False)}


@lru_cache(maxsize=64)
def revision_gbnf(
    root: Node,
    menu: Language,
    depth: int = 3,
    moves: tuple[Move, ...] = MOVES,
    required: Effects = NO_EFFECTS,
) -> str:
    """The same as a GBNF grammar of the JSON text.

    Raises `ValueError` if none of the moves is possible.
    """
    return json_gbnf(revision_schema(root, menu, depth, moves, False, required))


def answer_schema(**properties: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object with these properties, all required and in this order.

    Definitions go to the top, where their references look for them.

    >>> edit = {"$ref": "#/$defs/Op-1", "$defs": {"Op-1": {"const": "lin"}}}
    >>> answer_schema(why={"type": "string"}, edit=edit)["$defs"]
    {'Op-1': {'const': 'lin'}}
    """
    defined: dict[str, Any] = {}
    plain_ones = {}
    for name, schema in properties.items():
        defined |= schema.get("$defs", {})
        plain_ones[name] = {k: v for k, v in schema.items() if k not in ("$defs", "$schema")}
    return object_of(plain_ones, list(plain_ones)) | ({"$defs": defined} if defined else {})


def _replacements(places: Places, levels: Levels, depth: int) -> list[dict[str, Any]]:
    found: dict[Want, list[str]] = {}
    for name, site in places[1:]:
        want = (site.sort, site.required)
        if levels.possible(want, depth):
            found.setdefault(want, []).append(name)
    return [
        _move("replace", at={"enum": names}, new={"$ref": reference(want, depth)})
        for want, names in found.items()
    ]


def _insertions(beside: dict[str, Want | None], levels: Levels, depth: int) -> list[dict[str, Any]]:
    found: dict[Want, list[str]] = {}
    for name, want in beside.items():
        if want and levels.possible(want, depth):
            found.setdefault(want, []).append(name)
    return [
        _move(
            "insert",
            at={"enum": names},
            side={"enum": list(SIDES)},
            new={"$ref": reference(want, depth)},
        )
        for want, names in found.items()
    ]


def _tunings(places: Places) -> list[dict[str, Any]]:
    found: dict[tuple[str, tuple[Any, ...]], list[str]] = {}
    for name, site in places:
        for knob, spec in fields_of(type(site.node)).items():
            if isinstance(spec, Knob):
                held = getattr(site.node, knob)
                others = [plain(one) for one in spec.allowed(site.required) if one != held]
                if others:
                    # Types are part of the key, for True equals 1.
                    key = (knob, tuple((type(one), one) for one in others))
                    found.setdefault(key, []).append(name)
    return [
        _move(
            "tune",
            at={"enum": names},
            knob={"const": knob},
            value={"enum": [value for _, value in values]},
        )
        for (knob, values), names in found.items()
    ]


def _move(move: Move, **properties: dict[str, Any]) -> dict[str, Any]:
    return object_of({"move": {"const": move}, **properties}, ["move", *properties])
