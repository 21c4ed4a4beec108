"""Genomes as JSON, and the JSON Schema of a language.

    {"node": "lm", "core": {"node": "pre", "op": {"node": "glu", "ratio": "4"}}}

Every field goes by its name; a knob at its absent value is left out; ratios are strings. The
schema bounds the depth: each place is a definition of its own (sort, required effects, level), so
that a decoder can be held to it, and whatever it accepts is a well-typed genome.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from palmette.errors import Fault, GenomeError
from palmette.grammar import rules
from palmette.grammar.language import Language, Want
from palmette.grammar.levels import Levels, title
from palmette.grammar.node import Node, fields_of
from palmette.grammar.reading import DEEPEST, LARGEST, Reader, Source
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Knob, Sort, Value

MOST_UNKNOWN = 8  # fields of a node that are reported one by one


def to_json(node: Node) -> dict[str, Any]:
    """A tree as plain JSON data; `from_json` reads it back as the same tree.

    >>> import palmette
    >>> to_json(palmette.parse("pre(glu(ratio=4))").root)
    {'node': 'lm', 'core': {'node': 'pre', 'op': {'node': 'glu', 'ratio': '4'}}}
    """
    data: dict[str, Any] = {"node": node.name}
    for name, spec in fields_of(type(node)).items():
        held = getattr(node, name)
        if isinstance(spec, Knob):
            if held != spec.absent:
                data[name] = plain(held)
        else:
            data[name] = [to_json(kid) for kid in held] if spec.many else to_json(held)
    return data


def from_json(data: object, language: Language, sort: Sort = Sort.MODEL) -> Node:
    """The well-typed tree that JSON data describes.

    Raises `GenomeError` with every fault; each begins with its JSON path, as in `$.core.op`.
    """
    return read_part(data, language, sort, NO_EFFECTS)


def read_part(
    data: object,
    language: Language,
    sort: Sort | None,
    required: Effects,
    path: str = "$",
    written: bool = False,
) -> Node:
    """The tree that JSON data describes, fit for a place with this sort and required effects.

    Any sort will do with None. `path` is where in a document the data stands; with `written` a
    node may also be a string that holds its text.

    Raises `GenomeError` with every fault; each begins with its JSON path.
    """
    reader = _Reader(language, written)
    found = reader.read(data, path, sort, required, DEEPEST)
    if found is None:
        raise GenomeError(reader.faults)
    return found


def read_knob(
    cls: type[Node], name: str, given: object, required: Effects
) -> tuple[Value | None, str | None]:
    """The choice of a knob that JSON data means, and what is wrong with it if anything is."""
    spec = fields_of(cls)[name]
    assert isinstance(spec, Knob)
    value = _meant(spec, given)
    return rules.choice(spec, value), rules.wrong_value(
        cls, name, value, rules.shown(given), required
    )


def json_schema(
    language: Language,
    depth: int = 6,
    sort: Sort = Sort.MODEL,
    required: Effects = NO_EFFECTS,
    every: bool = False,
) -> dict[str, Any]:
    """A JSON Schema (draft 2020-12) of all genomes at most `depth` nodes deep.

    With another sort or required effects, of all trees for such a place. With `every`, each
    property is required, knobs at their absent value too, as some servers ask.

    Raises `ValueError` if no genome is that shallow.
    """
    levels = Levels.of(language, (sort, required), depth)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": reference((sort, required), depth),
        "$defs": definitions(levels, every, described=True),
    }


def definitions(levels: Levels, every: bool, described: bool) -> dict[str, Any]:
    """The definition of each place and of each class that stands somewhere, by name.

    `described` adds what classes and knobs mean.
    """
    defined: dict[str, Any] = {}
    for (want, level), classes in levels.places.items():
        names = [_class_title(cls, want[1], level) for cls in classes]
        defined[title(want, level)] = {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in names]}
        for cls, name in zip(classes, names, strict=True):
            if name not in defined:
                defined[name] = node_schema(levels, cls, want[1], level - 1, every, described)
    return defined


def node_schema(
    levels: Levels, cls: type[Node], required: Effects, below: int, every: bool, described: bool
) -> dict[str, Any]:
    """The schema of one class at a place; its children stand at the level `below`."""
    properties: dict[str, Any] = {"node": {"const": cls.name}}
    wanted = ["node"]
    for name, spec in fields_of(cls).items():
        if isinstance(spec, Child):
            want = (spec.sort, required | spec.requires)
            properties[name] = _kids(spec, want, below, levels)
            wanted.append(name)
        else:
            allowed = spec.allowed(required)
            properties[name] = {"enum": [plain(choice) for choice in allowed]}
            if described:
                properties[name]["description"] = spec.meaning
            if every or spec.absent not in allowed:
                wanted.append(name)
    told = {"description": cls.summary()} if described else {}
    return told | object_of(properties, wanted)


def object_of(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """The schema of objects with these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def reference(want: Want, level: int) -> str:
    """Where a place is defined."""
    return f"#/$defs/{title(want, level)}"


def _kids(spec: Child, want: Want, level: int, levels: Levels) -> dict[str, Any]:
    if not levels.possible(want, level):
        return {"const": []}
    kid = {"$ref": reference(want, level)}
    if not spec.many:
        return kid
    return {"type": "array", "items": kid, "minItems": spec.least, "maxItems": spec.most}


def _class_title(cls: type[Node], required: Effects, level: int) -> str:
    """The name of a class at a place; that of a leaf is the same at all levels."""
    leaf = not any(isinstance(spec, Child) for spec in fields_of(cls).values())
    parts = [cls.name, *sorted(effect.value for effect in required)]
    return "-".join(parts if leaf else [*parts, str(level)])


def plain(value: Value) -> bool | int | str:
    """A knob's value in JSON."""
    return str(value) if isinstance(value, Fraction) else value


@dataclass
class _Reader:
    """Builds nodes from JSON data and collects the faults on the way."""

    language: Language
    written: bool  # whether a node may be a string with its text
    faults: list[Fault] = field(default_factory=list)
    nodes: int = 0  # read so far

    def read(
        self, data: object, path: str, wanted: Sort | None, required: Effects, depth: int
    ) -> Node | None:
        """The node at a JSON path, or None after reporting why there is none."""
        before = len(self.faults)
        self.nodes += 1
        if self.nodes > LARGEST:
            if self.nodes == LARGEST + 1:  # told once
                self.fault(path, f"a genome has at most {LARGEST} nodes; leave some out")
            return None
        if self.written and isinstance(data, str):
            return self.text(data, path, wanted, required)
        if not isinstance(data, dict) or not isinstance(data.get("node"), str):
            self.fault(path, f'wanted {rules.a_sort(wanted)}, {{"node": ...}}, got {_kind(data)}')
            return None
        if depth == 0:
            self.fault(path, f"a genome is at most {DEEPEST} nodes deep")
            return None
        name = data["node"]
        if name not in self.language:
            self.fault(path, rules.unknown_node(name[:80], self.language))
            return None
        cls = self.language.get(name)
        if wanted is not None:
            self.fault(path, rules.wrong_sort(cls, wanted, self.language))
        self.fault(path, rules.broken_by_class(cls, required))
        specs = fields_of(cls)
        unknown = [key for key in data if key != "node" and key not in specs]
        for key in unknown[:MOST_UNKNOWN]:
            listed = ", ".join(specs) or "none"
            shown = rules.shown(key)
            self.fault(path, f"{name} has no field {shown}; its fields are {listed}")
        if more := unknown[MOST_UNKNOWN:]:
            self.fault(path, f"{name} has none of {len(more)} further fields either")
        held: dict[str, Any] = {}
        for key, spec in specs.items():
            place = f"{path}.{key}"
            if isinstance(spec, Knob):
                self.knob(data, cls, key, place, required, held)
            elif key not in data:
                self.fault(path, f"{name} needs {key}: {rules.a_sort(spec.sort)}")
            else:
                held[key] = self.kids(data[key], cls, spec, place, required, depth - 1)
        return cls(**held) if len(self.faults) == before else None

    def text(self, text: str, path: str, wanted: Sort | None, required: Effects) -> Node | None:
        """The node that a string describes; a Model may be given by its Core alone."""
        faults: Iterable[Fault]
        try:
            source = Source(text)
            reader = Reader(self.language, source)
            expression = source.expression()
            if wanted is Sort.MODEL and not required:
                found = reader.read_root(expression, wanted)
            else:
                found = reader.read(expression, wanted, required)
            faults = reader.faults
        except GenomeError as error:
            found, faults = None, error.faults
        self.faults += [Fault(0, 0, f"{path}: {fault}") for fault in faults]
        if found is not None:
            self.nodes += sum(1 for _ in found.walk()) - 1
        return found

    def kids(
        self,
        data: object,
        cls: type[Node],
        spec: Child,
        path: str,
        required: Effects,
        depth: int,
    ) -> Any:
        required |= spec.requires
        if not spec.many:
            return self.read(data, path, spec.sort, required, depth)
        if not isinstance(data, list):
            self.fault(path, f"wanted a list of nodes, got {_kind(data)}")
            return None
        if not spec.least <= len(data) <= spec.most:
            wanted = f"{spec.least} to {spec.most}"
            self.fault(path, f"{cls.name} wants {wanted} of these, got {len(data)}")
        return tuple(
            self.read(one, f"{path}[{number}]", spec.sort, required, depth)
            for number, one in enumerate(data[:LARGEST])
        )

    def knob(
        self,
        data: dict[str, Any],
        cls: type[Node],
        name: str,
        path: str,
        required: Effects,
        held: dict[str, Any],
    ) -> None:
        spec = fields_of(cls)[name]
        assert isinstance(spec, Knob)
        if name not in data and spec.absent is None:
            self.fault(path, f"{cls.name} needs {name}, one of {list(spec.choices)}")
            return
        held[name], problem = read_knob(cls, name, data.get(name, spec.absent), required)
        self.fault(path, problem)

    def fault(self, path: str, problem: str | None) -> None:
        if problem:
            self.faults.append(Fault(0, 0, f"{path}: {problem}"))


def _meant(spec: Knob, given: object) -> object:
    """A knob's value from JSON, where a ratio is a string and 4.0 is the same as 4."""
    ratios = {str(choice): choice for choice in spec.choices if isinstance(choice, Fraction)}
    if isinstance(given, str):
        return ratios.get(given, given)
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _kind(data: object) -> str:
    if isinstance(data, dict):
        if isinstance(data.get("node"), str):
            return "an object"
        named = "node" in data
        return (
            f'an object whose "node" is {rules.shown(data["node"])}'
            if named
            else "an object without one"
        )
    if isinstance(data, list):
        return "a list"
    return rules.shown(data)
