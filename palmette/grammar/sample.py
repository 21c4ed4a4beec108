"""Samples genomes: typed, never rejecting, always ending.

A place is completed by a class whose smallest completion fits the nodes that are left (Montana's
possibility tables, with a node budget instead of his depth limit); what is left over after the
smallest completions is dealt out to the children at random. The size is drawn first, so that
most genomes are small whatever the language: a median of about ten nodes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from palmette.grammar.canonical import canonical
from palmette.grammar.genome import Genome
from palmette.grammar.language import Language, Want
from palmette.grammar.node import Node, fields_of, held_by
from palmette.grammar.rules import a_sort, listed_effects
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Knob, Sort, Value

SHAPE, SCALE = 2.5, 6.0  # of the gamma distribution of the nodes beyond the smallest completion
FEW = 4  # nodes; a budget above it favours classes with several children in proportion
MORE = 0.5  # the probability of each child beyond the second


def sample_genome(
    language: Language,
    rng: random.Random,
    most: int = 40,
    required: Effects = NO_EFFECTS,
    model: type[Node] | None = None,
) -> Genome:
    """A random genome of at most `most` nodes, in canonical form.

    `model` is the class of its root, the language's usual one (`lm`) if not given.

    Raises `ValueError` if no such model can be that small.

    >>> import palmette
    >>> genome = sample_genome(palmette.language(), random.Random(0), most=9)
    >>> sum(1 for _ in genome.root.walk()) <= 9
    True
    """
    model = model or language.model
    least = language.smallest_of(model, required)
    if least is None:
        raise ValueError(
            f"{model.name} cannot be completed so that it is {listed_effects(required)}"
        )
    size = drawn_size(least, rng, most, model.name)
    made = _Sampler(language, rng).node(model, required, size)
    assert made is not None, "the smallest completion fits"
    return Genome(canonical(made))


def sample(
    language: Language,
    sort: Sort,
    rng: random.Random,
    required: Effects = NO_EFFECTS,
    most: int = 40,
) -> Node:
    """A random tree of at most `most` nodes for a place with this sort and required effects.

    Raises `ValueError` if nothing can stand there, or nothing that small.
    """
    least = language.smallest(sort, required)
    if least is None:
        kept = f" that is {listed_effects(required)}" if required else ""
        raise ValueError(f"no node of this language completes {a_sort(sort)}{kept}")
    size = drawn_size(least, rng, most, sort.value)
    return _Sampler(language, rng).place(sort, required, size)


def drawn_size(least: int, rng: random.Random, most: int, what: str) -> int:
    """How many nodes a sample may have: between `least` and `most`, small ones being likelier.

    Raises `ValueError` if even the smallest is too large.
    """
    if least > most:
        raise ValueError(f"the smallest {what} has {least} nodes; allow more than {most}")
    return min(most, least + round(rng.gammavariate(SHAPE, SCALE)))


def complete(
    language: Language,
    cls: type[Node],
    rng: random.Random,
    required: Effects,
    most: int,
    given: tuple[str, Node],
) -> Node | None:
    """A random node of this class around a child that is there already, in the field named.

    None if that cannot be done with at most `most` new nodes, this one included.
    """
    return _Sampler(language, rng).node(cls, required, most, given)


@dataclass(frozen=True)
class _Field:
    """A field of children that are still to be sampled: `given` is 1 if one is there already."""

    want: Want
    least: int
    most: int
    smallest: int  # nodes of the smallest child
    given: int


@dataclass(frozen=True)
class _Sampler:
    language: Language
    rng: random.Random

    def place(self, sort: Sort, required: Effects, budget: int) -> Node:
        language = self.language
        fitting = []
        for cls in language.of(sort, required):
            size = language.smallest_of(cls, required)
            if size is not None and size <= budget:
                fitting.append(cls)
        # A leaf ends the tree however many nodes are left: with many left, prefer what branches.
        favour = max(1.0, budget / FEW)
        odds = [language.odds(cls) * (favour if _branches(cls) else 1.0) for cls in fitting]
        made = self.node(
            self.rng.choices(fitting, odds if any(odds) else None)[0], required, budget
        )
        assert made is not None, "a class was picked that does not fit"
        return made

    def node(
        self,
        cls: type[Node],
        required: Effects,
        budget: int,
        given: tuple[str, Node] | None = None,
    ) -> Node | None:
        fields = self.fields(cls, required, given)
        spare = budget - 1 - sum(field.least * field.smallest for field in fields)
        if spare < 0:
            return None
        specs = fields_of(cls)
        knobs = {n: self.value(s, required) for n, s in specs.items() if isinstance(s, Knob)}
        places: list[_Field | Node] = []
        for field in fields:
            number = self.number(field, spare)
            spare -= (number - field.least) * field.smallest
            here: list[_Field | Node] = [field] * number
            if given and field.given:
                here.insert(self.rng.randint(0, number), given[1])
            places += here
        extra = self.dealt(spare, sum(isinstance(place, _Field) for place in places))
        kids = tuple(
            place
            if isinstance(place, Node)
            else self.place(*place.want, place.smallest + extra.pop())
            for place in places
        )
        return cls(**knobs, **held_by(cls, kids))

    def fields(
        self, cls: type[Node], required: Effects, given: tuple[str, Node] | None
    ) -> list[_Field]:
        fields = []
        for name, spec in fields_of(cls).items():
            if isinstance(spec, Child):
                here = int(given is not None and given[0] == name)
                want = (spec.sort, required | spec.requires)
                smallest = self.language.smallest(*want)
                # Where nothing can stand, `least` is 0 or only the given child was wanted.
                most = spec.most - here if smallest else 0
                fields.append(_Field(want, max(0, spec.least - here), most, smallest or 0, here))
        return fields

    def value(self, spec: Knob, required: Effects) -> Value:
        allowed = spec.allowed(required)
        odds = self.language.weights(spec)
        weights = [odds[spec.choices.index(choice)] for choice in allowed]
        return self.rng.choices(allowed, weights if any(weights) else None)[0]

    def number(self, field: _Field, spare: int) -> int:
        """How many children, fewer being likelier, with so many nodes to spare."""
        room = spare // field.smallest if field.smallest else 0
        most = min(field.most, field.least + room)
        # With one child most combinators vanish in the canonical form: start at two.
        number = max(field.least, min(2 - field.given, most))
        while number < most and self.rng.random() < MORE:
            number += 1
        return number

    def dealt(self, spare: int, places: int) -> list[int]:
        """Spare nodes dealt out to places by random cuts."""
        if not places:
            return []
        cuts = sorted(self.rng.randint(0, spare) for _ in range(places - 1))
        return [end - start for start, end in zip([0, *cuts], [*cuts, spare], strict=True)]


def _branches(cls: type[Node]) -> bool:
    specs = (spec for spec in fields_of(cls).values() if isinstance(spec, Child))
    return sum(spec.most for spec in specs) > 1
