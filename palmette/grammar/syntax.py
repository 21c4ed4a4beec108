"""The text of a genome: a Python call expression, read with `ast` and a whitelist.

    lm(stack(pre(lin(erase='beta')), pre(glu(ratio=8/3))))

Counts come first by place, then children by place, then knobs by keyword; a knob at its absent
value is left out. The text is never evaluated: length, depth and number of nodes are bounded
before anything is built, and whatever Python's parser raises becomes a fault, so that a hostile
text costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from palmette.errors import GenomeError
from palmette.grammar.language import Language
from palmette.grammar.node import Node, fields_of
from palmette.grammar.reading import Reader, Source
from palmette.grammar.types import Child, Knob, Sort, literal


def parse(text: str, language: Language, sort: Sort = Sort.MODEL) -> Node:
    """The well-typed tree that a text describes, as written (`canonical` comes after).

    Where a Model is wanted, a Core or Block is wrapped into `lm(...)`. Another `sort` reads a part
    of a genome as it stands.

    Raises `GenomeError` with every fault, each with its line and column.

    >>> import palmette
    >>> unparse(parse("pre(glu(ratio=4.0))", palmette.language()))
    'lm(pre(glu(ratio=4)))'
    """
    source = Source(text)
    reader = Reader(language, source)
    found = reader.read_root(source.expression(), sort)
    if found is None:
        raise GenomeError(sorted(reader.faults, key=lambda fault: (fault.line, fault.column)))
    return found


def unparse(node: Node) -> str:
    """The text of a tree; `parse` reads it back as the same tree."""
    return written(node, [unparse(kid) for kid in node.nodes()])


def written(node: Node, kids: Sequence[str]) -> str:
    """The text of a node around the texts of its children."""
    counts, knobs = [], []
    for name, spec in fields_of(type(node)).items():
        if isinstance(spec, Child):
            continue
        held = getattr(node, name)
        if spec.positional:
            counts.append(literal(held))
        elif held != spec.absent:
            knobs.append(f"{name}={literal(held)}")
    return f"{node.name}({', '.join([*counts, *kids, *knobs])})"


def signature(cls: type[Node]) -> str:
    """How a node is written, on one line: `repeat(n: 2|3|4, Core+)`.

    Children are given by their sort: `Op` one, `Core+` one or more, `Op{2..4}` two to four. The
    first choice of a knob is its absent value, which the text leaves out.

    >>> import palmette
    >>> signature(palmette.language().get("repeat"))
    'repeat(n: 2|3|4, Core+)'
    """
    parts = []
    for name, spec in fields_of(cls).items():
        if isinstance(spec, Knob):
            parts.append(f"{name}: {'|'.join(map(literal, spec.choices))}")
        else:
            parts.append(spec.sort.value + _how_many(spec))
    return f"{cls.name}({', '.join(parts)})"


def _how_many(spec: Child) -> str:
    if not spec.many:
        return ""
    return {0: "*", 1: "+"}.get(spec.least, f"{{{spec.least}..{spec.most}}}")
