"""A language: the node classes that a genome may be made of, and what can be completed with them.

Everything that searches asks the language what may stand at a place. A place is a pair (sort,
required effects), the non-terminals of a typed tree grammar (Montana, Strongly Typed Genetic
Programming, Evolutionary Computation 3(2), 1995). The table of smallest completions is what lets
sampling promise an end: a class is only picked where it can still be completed.
"""

from __future__ import annotations

import keyword
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

from palmette.errors import PalmetteError, UnknownNameError
from palmette.grammar.node import Node, fields_of
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Knob, Sort

Want: TypeAlias = tuple[Sort, Effects]


@dataclass(frozen=True)
class Language:
    """An immutable set of node classes; equal and hashed by them.

    Sampling prefers classes and choices by their odds, or none to any other if the language is
    `even`: what its authors think of them then plays no part.

    Raises `PalmetteError` with every fault if a class cannot be written in text.
    """

    nodes: tuple[type[Node], ...]
    even: bool = False

    def __post_init__(self) -> None:
        faults = [fault for cls in self.nodes for fault in _faults_of(cls)]
        names = [cls.name for cls in self.nodes]
        faults += [f"two nodes are called {n!r}" for n in sorted(set(names)) if names.count(n) > 1]
        if faults:
            raise PalmetteError("this is not a language: " + "; ".join(faults))

    def __contains__(self, name: object) -> bool:
        return name in self._named

    def get(self, name: str) -> type[Node]:
        """The class with this name in text. Raises `UnknownNameError` with near names."""
        if name not in self._named:
            raise UnknownNameError("node", name, self._named)
        return self._named[name]

    def odds(self, cls: type[Node]) -> float:
        """How often sampling picks a class, relative to its rivals."""
        return 1.0 if self.even else cls.odds

    def weights(self, knob: Knob) -> tuple[float, ...]:
        """How often sampling picks each choice of a knob."""
        return (1.0,) * len(knob.choices) if self.even else knob.weights

    @property
    def model(self) -> type[Node]:
        """The model that a Core or Block is wrapped into: `lm`."""
        return self.get("lm")

    @property
    def sequence(self) -> type[Node] | None:
        """The combinator that runs its children one after the other: `seq`, if there is one."""
        return self._named.get("seq")

    def of(self, sort: Sort, required: Effects = NO_EFFECTS) -> tuple[type[Node], ...]:
        """The classes that may stand at a place and can be completed there."""
        want = (sort, required)
        if want not in self._standing:
            self._standing[want] = tuple(
                cls
                for cls in self.nodes
                if sort.accepts(cls.sort) and self.smallest_of(cls, required) is not None
            )
        return self._standing[want]

    def smallest(self, sort: Sort, required: Effects = NO_EFFECTS) -> int | None:
        """The fewest nodes that complete a place; None if nothing can."""
        return self._table(required).get((sort, required))

    def smallest_of(self, cls: type[Node], required: Effects = NO_EFFECTS) -> int | None:
        """The fewest nodes of a tree whose root is of this class; None if there is none."""
        return _size_from(self._table(required), cls, required)

    def wrapper(self, wanted: Sort, given: Sort) -> type[Node] | None:
        """A class that makes a node of sort `given` fit where `wanted` is, with no other child."""
        fitting = [
            cls
            for cls in self.nodes
            if wanted.accepts(cls.sort)
            and [spec.sort.accepts(given) for spec in _children_of(cls)] == [True]
            and not any(spec.positional for spec in _knobs_of(cls))
        ]
        usual = ("pre", "seq")  # what an author most likely left out
        return min(fitting, key=lambda cls: cls.name not in usual, default=None)

    @cached_property
    def _named(self) -> dict[str, type[Node]]:
        return {cls.name: cls for cls in self.nodes}

    @cached_property
    def _standing(self) -> dict[Want, tuple[type[Node], ...]]:
        return {}

    @cached_property
    def _tables(self) -> dict[Effects, dict[Want, int]]:
        return {}

    def _table(self, required: Effects) -> dict[Want, int]:
        """The fewest nodes for each place that can occur below `required`."""
        if required not in self._tables:
            self._tables[required] = self._relaxed(required)
        return self._tables[required]

    def _relaxed(self, required: Effects) -> dict[Want, int]:
        added = {spec.requires for cls in self.nodes for spec in _children_of(cls)}
        below = {required}
        while len(grown := below | {old | new for old in below for new in added}) > len(below):
            below = grown
        table: dict[Want, int] = {}
        changed = True
        while changed:
            changed = False
            for effects in below:
                for cls in self.nodes:
                    size = _size_from(table, cls, effects)
                    if size is None:
                        continue
                    for want in [(sort, effects) for sort in Sort if sort.accepts(cls.sort)]:
                        if size < table.get(want, size + 1):
                            table[want] = size
                            changed = True
        return table


def keeps(cls: type[Node], required: Effects) -> bool:
    """Whether a class, its children aside, can keep the effects for some choice of its knobs."""
    return _keeps(cls, required)  # type: ignore[arg-type]  # as in `node.fields_of`


@lru_cache(maxsize=65536)
def _keeps(cls: type[Node], required: Effects) -> bool:
    return not (cls.breaks & required) and all(s.allowed(required) for s in _knobs_of(cls))


def _size_from(table: dict[Want, int], cls: type[Node], required: Effects) -> int | None:
    if not keeps(cls, required):
        return None
    total = 1
    for spec in _children_of(cls):
        below = table.get((spec.sort, required | spec.requires))
        if below is None and spec.least:
            return None
        total += spec.least * (below or 0)
    return total


def _children_of(cls: type[Node]) -> list[Child]:
    return [spec for spec in fields_of(cls).values() if isinstance(spec, Child)]


def _knobs_of(cls: type[Node]) -> list[Knob]:
    return [spec for spec in fields_of(cls).values() if isinstance(spec, Knob)]


def _faults_of(cls: type[Node]) -> list[str]:
    faults = []
    if not cls.name.isidentifier() or keyword.iskeyword(cls.name):
        faults.append(f"{cls.__name__} is called {cls.name!r}, which is not a Python name")
    if sum(spec.many for spec in _children_of(cls)) > 1:
        faults.append(f"{cls.name} has two fields of many children; only one can be told apart")
    if "node" in fields_of(cls):
        faults.append(f"{cls.name} has a field called 'node', which JSON needs for the name")
    return faults
