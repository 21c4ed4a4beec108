"""Genomes built unit by unit: a tree with open places, of which the first is filled next.

A unit is one node with its knobs. It opens a place for each of its children; how many a field of
many children gets stands where the children would:

    {"node": "seq", "parts": 2}       lm(seq(HERE, OPEN))
    {"node": "pre", "norm": "layer"}  lm(seq(pre(HERE, norm='layer'), OPEN))

Each unit is checked as it comes, so what is wrong is said about one node and not about a tree. A
place only takes what leaves room to complete all the others, so every sequence of units ends, after
`most` of them at the latest, in a well-typed genome. A `Partial` never changes: whoever keeps the
earlier ones can go back to any of them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from palmette.errors import Fault, GenomeError
from palmette.grammar.canonical import canonical
from palmette.grammar.change import child_specs, replaced, size_of
from palmette.grammar.language import Language
from palmette.grammar.node import Node, fields_of, held_by
from palmette.grammar.reading import DEEPEST
from palmette.grammar.rules import Site, check, sites
from palmette.grammar.sample import sample
from palmette.grammar.schema import from_json, to_json
from palmette.grammar.syntax import written
from palmette.grammar.types import NO_EFFECTS, Effects, Knob, Sort

Path: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Partial:
    """A tree with open places, which has at most `most` nodes when none is left.

    `tree` is well typed: at the paths in `places` stands what completes it with the fewest nodes.
    """

    tree: Node
    places: tuple[Path, ...]
    most: int


def begun(model: type[Node], language: Language, most: int = 32) -> Partial:
    """A model with its usual knobs and nothing in it.

    Raises `ValueError` for more nodes than a genome may be deep, or too few for the model.
    """
    if most > DEEPEST:
        raise ValueError(f"units build at most {DEEPEST} nodes, got {most}")
    made = _least(model, _least_counts(model), NO_EFFECTS, language)
    if size_of(made) > most:
        raise ValueError(f"the smallest {model.name} has {size_of(made)} nodes; allow more")
    return Partial(made, tuple((number,) for number in range(len(made.nodes()))), most)


def opened(root: Node, path: Path, language: Language, most: int = 32) -> Partial:
    """A well-typed tree in which what stands at a path below its root is to be built anew.

    It may grow to `most` nodes, or to as many as it has if these are more.
    """
    site = next(site for site in sites(root) if site.path == path)
    least = _smallest(site.sort, site.required, language)
    return Partial(replaced(root, path, least), (path,), max(most, size_of(root)))


def open_places(partial: Partial) -> tuple[Site, ...]:
    """The places that are open, in the order of the text; the first is filled next."""
    return tuple(site for site in sites(partial.tree) if site.path in partial.places)


def room(partial: Partial) -> int:
    """How many nodes may stand at the first open place, if the others are completed least."""
    return partial.most - size_of(partial.tree) + size_of(open_places(partial)[0].node)


def standing(partial: Partial, language: Language) -> tuple[type[Node], ...]:
    """The classes that the first open place takes, for the room that is left."""
    place, left = open_places(partial)[0], room(partial)
    sizes = {
        cls: language.smallest_of(cls, place.required)
        for cls in language.of(place.sort, place.required)
    }
    return tuple(cls for cls, size in sizes.items() if size is not None and size <= left)


def fill(partial: Partial, data: object, language: Language) -> Partial:
    """The tree with one unit more, at its first open place.

    Raises `GenomeError` with every fault, in the grammar's own words, each with its JSON path.

    >>> import palmette
    >>> language = palmette.language()
    >>> one = fill(begun(language.model, language), {"node": "seq", "parts": 2}, language)
    >>> shown(fill(one, {"node": "pre", "norm": "layer"}, language))
    "lm(seq(pre(HERE, norm='layer'), OPEN))"
    """
    place, left = open_places(partial)[0], room(partial)
    named = data.get("node") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(named, str) or named not in language:
        from_json(data, language, place.sort)
        raise AssertionError("a unit that names no node is at fault")
    cls = language.get(named)
    if cls not in standing(partial, language):
        raise GenomeError(_against(cls, place, partial, language))
    counts, faults = _counts(data, cls, place, language)
    around = to_json(_least(cls, counts, place.required, language))
    kids = {name: around[name] for name in counts}
    try:
        made = from_json(data | kids, language, cls.sort)
    except GenomeError as error:
        raise GenomeError([*error.faults, *faults]) from None
    faults += _own(check(made, language, place.required))
    if not faults and size_of(made) > left:
        told = (
            f"{named} with so many children needs {size_of(made)} nodes, there is room for {left}"
        )
        faults.append(_fault(f"$: {told}; give it fewer"))
    if faults:
        raise GenomeError(faults)
    below = tuple((*place.path, number) for number in range(len(made.nodes())))
    later = tuple(path for path in partial.places if path != place.path)
    return Partial(replaced(partial.tree, place.path, made), below + later, partial.most)


def closed(partial: Partial, language: Language, rng: random.Random | None = None) -> Node:
    """The canonical genome in which every open place is completed: at random, or with the fewest
    nodes if no generator is given.

    >>> import palmette
    >>> from palmette.grammar import unparse
    >>> unparse(closed(begun(palmette.language().model, palmette.language()), palmette.language()))
    'lm(post(attn()))'
    """
    tree = partial.tree
    if rng is not None:
        for place in open_places(partial):
            left = partial.most - size_of(tree) + size_of(place.node)
            made = sample(language, place.sort, rng, place.required, left)
            tree = replaced(tree, place.path, made)
    whole = canonical(tree)
    assert not check(whole, language), whole
    return whole


def shown(partial: Partial) -> str:
    """The text of a partial tree: HERE is the place that is filled next, OPEN a later one.

    >>> import palmette
    >>> shown(begun(palmette.language().model, palmette.language()))
    'lm(HERE)'
    """

    def text(node: Node, path: Path) -> str:
        if path in partial.places:
            return "HERE" if path == min(partial.places) else "OPEN"
        kids = [text(kid, (*path, number)) for number, kid in enumerate(node.nodes())]
        return written(node, kids)

    return text(partial.tree, ())


def unit_schema(partial: Partial, language: Language, every: bool = False) -> dict[str, Any]:
    """A JSON Schema of the units that the first open place takes.

    With `every` all properties are required, for servers that want it so.
    """
    place, left = open_places(partial)[0], room(partial)
    objects = []
    for cls in standing(partial, language):
        values: dict[str, list[Any]] = {}
        needed = []
        for name, spec in fields_of(cls).items():
            if isinstance(spec, Knob):
                allowed = spec.allowed(place.required)
                values[name] = [c if isinstance(c, bool | int) else str(c) for c in allowed]
                needed += [name] if every or spec.absent not in allowed else []
            elif spec.many:
                each = language.smallest(spec.sort, place.required | spec.requires)
                spare = left - (language.smallest_of(cls, place.required) or 0)
                most = spec.least + spare // each if each else 0
                values[name] = list(range(spec.least, min(most, spec.most) + 1))
                needed.append(name)
        fields = {name: {"enum": choices} for name, choices in values.items()}
        one = {"type": "object", "properties": {"node": {"const": cls.name}, **fields}}
        objects.append(one | {"required": ["node", *needed], "additionalProperties": False})
    return {"anyOf": objects}


def _counts(
    data: Mapping[str, Any], cls: type[Node], place: Site, language: Language
) -> tuple[dict[str, int], list[Fault]]:
    """How many children each field is given, or the least where that is not said well."""
    counts, faults = _least_counts(cls), []
    for name, spec in child_specs(cls).items():
        if name not in data:
            continue
        given, wanted = data[name], f"{spec.least} to {spec.most}"
        possible = language.smallest(spec.sort, place.required | spec.requires)
        if not spec.many:
            faults.append(f"$.{name}: is a place of its own, filled next; leave it out here")
        elif type(given) is not int:
            faults.append(f"$.{name}: wanted how many children, {wanted}; they are filled next")
        elif not spec.least <= given <= spec.most:
            faults.append(f"$.{name}: {cls.name} wants {wanted} of these, got {given}")
        elif given and not possible:
            faults.append(f"$.{name}: nothing can stand here; write 0")
        else:
            counts[name] = given
    return counts, [_fault(told) for told in faults]


def _against(cls: type[Node], place: Site, partial: Partial, language: Language) -> list[Fault]:
    """Why a class may not stand at a place: its sort, its effects, or the room that it needs."""
    size = language.smallest_of(cls, place.required)
    if place.sort.accepts(cls.sort) and size is not None:
        told = f"needs {size} nodes or more, there is room for {room(partial)}"
    else:
        told = "cannot be completed here"
        if language.smallest_of(cls) is not None:
            alone = _least(cls, _least_counts(cls), NO_EFFECTS, language)
            if faults := _own(check(alone, language, place.required, place.sort)):
                return faults
    listed = ", ".join(other.name for other in standing(partial, language))
    return [_fault(f"$: {cls.name} {told}; use one of: {listed}")]


def _own(faults: tuple[Fault, ...]) -> list[Fault]:
    """Faults of a unit's own node, not of those below it, told as faults of its JSON data."""
    told = [fault.message.partition(": ") for fault in faults]
    return [_fault(f"$: {message}") for where, _, message in told if "/" not in where]


def _least(
    cls: type[Node], counts: Mapping[str, int], required: Effects, language: Language
) -> Node:
    """A node with so many children, each the smallest; knobs hold their first choice allowed."""
    specs = fields_of(cls).items()
    knobs = {n: spec.allowed(required)[0] for n, spec in specs if isinstance(spec, Knob)}
    kids = tuple(
        _smallest(spec.sort, required | spec.requires, language)
        for name, spec in child_specs(cls).items()
        for _ in range(counts[name])
    )
    return cls(**knobs, **held_by(cls, kids))


def _smallest(sort: Sort, required: Effects, language: Language) -> Node:
    """What completes a place with the fewest nodes: the first class that does."""
    least = language.smallest(sort, required)
    fitting = language.of(sort, required)
    cls = next(cls for cls in fitting if language.smallest_of(cls, required) == least)
    return _least(cls, _least_counts(cls), required, language)


def _least_counts(cls: type[Node]) -> dict[str, int]:
    return {name: spec.least for name, spec in child_specs(cls).items()}


def _fault(message: str) -> Fault:
    return Fault(0, 0, message)
