"""A node of a genome: a frozen dataclass whose typed fields are the grammar.

    @node
    class Pre(Node):
        '''Norm, operator, residual: x + op(norm(x)).'''
        sort = Sort.BLOCK
        norm: str = knob("rms", "layer", "none", meaning="what is normalised away")
        op: Node = child(Sort.OPERATOR, meaning="what is added to the residual stream")

The class name in lower case is the node's name in text. Children are written by place, knobs by
keyword (except positional ones), and a knob at its absent value is not written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar, dataclass_transform

from palmette.grammar.types import (
    ALL_EFFECTS,
    NO_EFFECTS,
    Child,
    Effect,
    Effects,
    Knob,
    Sort,
    Value,
)

N = TypeVar("N", bound="Node")
HASH = "_hash"


def knob(
    *choices: Value,
    meaning: str,
    weights: Iterable[float] | None = None,
    breaks: Mapping[Value, Iterable[Effect]] | None = None,
) -> Any:
    """A keyword field with a finite set of values; the first is its absent value."""
    spec = Knob(
        choices=choices,
        absent=choices[0],
        meaning=meaning,
        weights=_weights(choices, weights),
        breaks={value: frozenset(lost) for value, lost in (breaks or {}).items()},
    )
    return dataclasses.field(default=choices[0], metadata={"grammar": spec})


def count(*choices: int, meaning: str, weights: Iterable[float] | None = None) -> Any:
    """A number that is written first and by place, and never left out: the 3 in `repeat(3, …)`."""
    spec = Knob(choices, None, meaning, _weights(choices, weights), positional=True)
    return dataclasses.field(metadata={"grammar": spec})


def child(sort: Sort, *, meaning: str, requires: Iterable[Effect] = ()) -> Any:
    """A field that holds one node of a sort."""
    spec = Child(sort, meaning, requires=frozenset(requires))
    return dataclasses.field(metadata={"grammar": spec})


def children(
    sort: Sort, *, least: int, most: int, meaning: str, requires: Iterable[Effect] = ()
) -> Any:
    """A field that holds a tuple of nodes of a sort."""
    spec = Child(sort, meaning, True, least, most, frozenset(requires))
    return dataclasses.field(metadata={"grammar": spec})


# `knob` is no specifier here, so that type checkers see a knob as a field with a default.
@dataclass_transform(
    frozen_default=True, kw_only_default=True, field_specifiers=(count, child, children)
)
def node(cls: type[N]) -> type[N]:
    """Makes a class with annotated fields into a node of the language."""
    made = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    of_fields = made.__hash__

    # A tree's hash walks all of it, and many tables are keyed by trees: each node keeps its own.
    def kept_hash(self: N) -> int:
        known = self.__dict__.get(HASH)
        if known is None:
            known = self.__dict__[HASH] = of_fields(self)
        return known

    made.__hash__ = kept_hash  # type: ignore[method-assign, assignment]
    return made


class Node:
    """The base of every primitive and combinator."""

    sort: ClassVar[Sort]
    name: ClassVar[str]
    role: ClassVar[str] = "combinator"  # or "token mixer", "channel mixer", "model"
    breaks: ClassVar[Effects] = NO_EFFECTS  # effects that this node gives up, whatever its knobs
    odds: ClassVar[float] = 1.0  # how often sampling picks this class, relative to its rivals
    splits: ClassVar[bool] = False  # a repeated pattern: an edit may specialise one copy of it

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: another process hashes strings otherwise."""
        return {name: held for name, held in self.__dict__.items() if name != HASH}

    @property
    def commutes(self) -> bool:
        """Whether the order of the children carries no meaning."""
        return False

    def simplified(self) -> Node:
        """A smaller node that means the same, or this one; the children are canonical already.

        One step is enough: `canonical` asks again until nothing changes.
        """
        return self

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    def nodes(self) -> tuple[Node, ...]:
        """The direct children, in the order of the text."""
        return tuple(kid for _, kid in self.slots())

    def slots(self) -> Iterator[tuple[str, Node]]:
        """The direct children with the name of the field that holds them."""
        for name, spec in fields_of(type(self)).items():
            if isinstance(spec, Child):
                held = getattr(self, name)
                for kid in held if spec.many else (held,):
                    yield name, kid

    def with_nodes(self: N, nodes: Iterable[Node]) -> N:
        """The same node with other children, given in the order of `nodes()`."""
        held = held_by(type(self), tuple(nodes))
        return dataclasses.replace(self, **held)  # type: ignore[type-var]

    def knobs(self) -> dict[str, Value]:
        """Every knob with its value, absent or not."""
        specs = fields_of(type(self)).items()
        return {name: getattr(self, name) for name, spec in specs if isinstance(spec, Knob)}

    def with_knob(self: N, name: str, value: Value) -> N:
        """The same node with one knob at another value."""
        return dataclasses.replace(self, **{name: value})  # type: ignore[type-var]

    def walk(self, path: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Node]]:
        """This node and all below it, parents first, each with its path of child numbers."""
        yield path, self
        for number, kid in enumerate(self.nodes()):
            yield from kid.walk((*path, number))


def fields_of(cls: type[Node]) -> dict[str, Knob | Child]:
    """The grammar of a node class: its fields in the order of the text, counts first.

    >>> from palmette.grammar.types import Sort
    >>> @node
    ... class Wrap(Node):
    ...     sort = Sort.BLOCK
    ...     op: Node = child(Sort.OPERATOR, meaning="what is wrapped")
    >>> list(fields_of(Wrap))
    ['op']
    """
    return _fields_of(cls)  # type: ignore[arg-type]  # mypy asks the instances whether they hash


@cache
def _fields_of(cls: type[Node]) -> dict[str, Knob | Child]:
    specs = {f.name: f.metadata["grammar"] for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    return dict(sorted(specs.items(), key=_order_in_text))


def held_by(cls: type[Node], nodes: tuple[Node, ...]) -> dict[str, Any]:
    """Children in the order of the text, dealt out to the fields of a class that hold them.

    A single-child field takes one; the one field that holds many takes what is left.
    """
    specs = {n: spec for n, spec in fields_of(cls).items() if isinstance(spec, Child)}
    several = [name for name, spec in specs.items() if spec.many]
    assert len(several) <= 1, f"{cls.__name__} has two fields of many children: {several}"
    spare = len(nodes) - (len(specs) - len(several))
    assert spare >= 0 if several else spare == 0, f"{len(nodes)} children do not fit {cls.name}"
    held: dict[str, Any] = {}
    start = 0
    for name, spec in specs.items():
        end = start + (spare if spec.many else 1)
        held[name] = nodes[start:end] if spec.many else nodes[start]
        start = end
    return held


def own_effects(given: Node) -> Effects:
    """The effects that a node keeps, by its class and its knobs, its children aside."""
    lost = set(type(given).breaks)
    for name, spec in fields_of(type(given)).items():
        if isinstance(spec, Knob):
            lost |= spec.breaks.get(getattr(given, name), NO_EFFECTS)
    return ALL_EFFECTS - lost


def effects(given: Node) -> Effects:
    """The effects that hold for a whole tree."""
    kept = own_effects(given)
    for kid in given.nodes():
        kept &= effects(kid)
    return kept


def _order_in_text(item: tuple[str, Knob | Child]) -> int:
    spec = item[1]
    if isinstance(spec, Knob):
        return 0 if spec.positional else 2
    return 1


def _weights(choices: tuple[Value, ...], weights: Iterable[float] | None) -> tuple[float, ...]:
    given = tuple(weights) if weights is not None else (1.0,) * len(choices)
    assert len(given) == len(choices), "one weight for each choice"
    return given
