"""A language unrolled to a bounded depth: what the JSON Schema and the GBNF grammar are made from.

A level is the number of nodes that may still follow from a place down to a leaf, the place's own
node included: a place at level 1 holds a leaf.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from palmette.grammar.language import Language, Want
from palmette.grammar.node import Node, fields_of
from palmette.grammar.rules import a_sort
from palmette.grammar.types import Child, Effects


@dataclass(frozen=True)
class Levels:
    """Every place that occurs within the depth, root first, with the classes that may stand there.

    places   (sort, required effects) and level -> classes that can be completed in those levels
    """

    language: Language
    places: dict[tuple[Want, int], tuple[type[Node], ...]] = field(default_factory=dict)
    _known: dict[tuple[Want, int], tuple[type[Node], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, language: Language, want: Want, depth: int) -> Levels:
        """The places of all trees for a place that are at most `depth` nodes deep.

        Raises `ValueError` if there is no tree that shallow.
        """
        levels = cls(language)
        if not levels.possible(want, depth):
            raise ValueError(f"{a_sort(want[0], True)} does not fit into depth {depth}; allow more")
        levels.open([want], depth)
        return levels

    def open(self, wants: Iterable[Want], depth: int) -> None:
        """Adds the places of all trees at most `depth` nodes deep, wherever there is one."""
        pending = [(want, depth) for want in wants if self.possible(want, depth)]
        while pending:
            place = pending.pop(0)
            if place in self.places:
                continue
            want, level = place
            self.places[place] = self._classes(want, level)
            pending += [
                (below, level - 1)
                for standing in self.places[place]
                for below in wants_of(standing, want[1]).values()
                if self.possible(below, level - 1)
            ]

    def possible(self, want: Want, level: int) -> bool:
        """Whether a place can be completed within a level."""
        return bool(self._classes(want, level))

    def _classes(self, want: Want, level: int) -> tuple[type[Node], ...]:
        if level < 1:
            return ()
        if (want, level) not in self._known:
            sort, required = want
            self._known[want, level] = tuple(
                cls
                for cls in self.language.of(sort, required)
                if all(
                    self.possible(below, level - 1)
                    for name, below in wants_of(cls, required).items()
                    if fields_of(cls)[name].least  # type: ignore[union-attr]
                )
            )
        return self._known[want, level]


def wants_of(cls: type[Node], required: Effects) -> dict[str, Want]:
    """What the children of a class have to be where `required` holds, by field."""
    return {
        name: (spec.sort, required | spec.requires)
        for name, spec in fields_of(cls).items()
        if isinstance(spec, Child)
    }


def title(want: Want, level: int) -> str:
    """The name of a place, as in `Core-causal-4`."""
    sort, effects = want
    return "-".join([sort.value, *sorted(effect.value for effect in effects), str(level)])
