"""Where an idea comes from, read off what its author was shown: no model is asked.

A genome's features are the names of its nodes and, of every node, each knob with its value:
`lin`, `lin.erase='beta2'`. What a child has and its parent has not is new. The knobs that a new
node holds at their absent values came along with its name and are not counted. Each new feature
then speaks for what showed it:

    knowledge   an expression in a published card that was shown
    experience  a genome that was shown, or an expression in a lesson of this campaign
    original    neither

An expression shows the knobs that it writes; a genome shows all of its knobs. A feature in a card
and in a genome speaks for both. The kind that most features speak for is the idea's origin; of
equal ones the first in the order above. An edit that only leaves out, repeats or moves what the
parent has brings nothing new, and then there is no origin to tell: None.

This is an upper bound of what a context explains: a model may know an idea by heart that it was
also shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from palmette.designer.knowledge import Card
from palmette.errors import GenomeError
from palmette.grammar.language import Language
from palmette.grammar.node import Node, fields_of
from palmette.grammar.syntax import parse
from palmette.grammar.types import Knob, Sort, literal
from palmette.records.thought import Origin

Features = frozenset[str]
NOTHING: Features = frozenset()


@dataclass(frozen=True)
class Attribution:
    """An idea's origin, and the new features by what showed them."""

    origin: Origin | None
    knowledge: Features
    experience: Features
    original: Features

    def content(self) -> dict[str, object]:
        """The new features, sorted, as plain data."""
        parts = {
            "knowledge": self.knowledge,
            "experience": self.experience,
            "original": self.original,
        }
        return {name: sorted(features) for name, features in parts.items() if features}


def attribute(
    child: Node,
    parent: Node,
    cards: Iterable[Card],
    genomes: Iterable[Node],
    language: Language,
) -> Attribution:
    """The origin of what `child` has and `parent` has not.

    `cards` and `genomes` are those that the author was shown, in any order.
    """
    new = added(child, parent)
    read: Features = NOTHING
    seen: Features = NOTHING
    for card in cards:
        if card.paper is None:
            seen |= _of_card(card, language)
        else:
            read |= _of_card(card, language)
    for genome in genomes:
        seen |= features(genome)
    knowledge, experience = new & read, new & seen
    original = new - read - seen
    counted: list[tuple[Origin, Features]] = [
        ("knowledge", knowledge),
        ("experience", experience),
        ("original", original),
    ]
    origin = max(counted, key=lambda kind: len(kind[1]))[0] if new else None
    return Attribution(origin, knowledge, experience, original)


def added(child: Node, parent: Node) -> Features:
    """The features of a child that its parent has not."""
    before = features(parent)
    known = {node.name for _, node in parent.walk()}
    brought = {
        _knob(node, name)
        for _, node in child.walk()
        if node.name not in known
        for name in _at_rest(node)
    }
    return features(child) - before - brought


@lru_cache(maxsize=4096)
def features(genome: Node) -> Features:
    """The names of a tree's nodes and each knob with its value.

    >>> import palmette
    >>> sorted(features(palmette.parse("pre(glu())").root))[:3]
    ['glu', "glu.activation='silu'", 'glu.ratio=8/3']
    """
    found = set()
    for _, node in genome.walk():
        found.add(node.name)
        found |= {_knob(node, name) for name in node.knobs()}
    return frozenset(found)


@lru_cache(maxsize=4096)
def _of_card(card: Card, language: Language) -> Features:
    return frozenset().union(*(_written(text, language) for text in card.expressions))


def _written(text: str, language: Language) -> Features:
    """The features that an expression writes; none if it is not in the language."""
    part = part_of(text, language)
    if part is None:
        return NOTHING
    found = set()
    for _, node in part.walk():
        found.add(node.name)
        found |= {_knob(node, name) for name in node.knobs().keys() - _at_rest(node)}
    return frozenset(found)


@lru_cache(maxsize=4096)
def part_of(text: str, language: Language) -> Node | None:
    """The part of a genome, of whatever sort, that a text is; None if it is none."""
    for sort in Sort:
        try:
            return parse(text, language, sort)
        except GenomeError:
            continue
    return None


def _at_rest(node: Node) -> set[str]:
    """The knobs of a node that hold their absent values."""
    return {
        name
        for name, spec in fields_of(type(node)).items()
        if isinstance(spec, Knob) and getattr(node, name) == spec.absent
    }


def _knob(node: Node, name: str) -> str:
    return f"{node.name}.{name}={literal(getattr(node, name))}"
