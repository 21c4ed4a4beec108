"""What a node stands in while it is tested: the smallest operator, the smallest model around it."""

from __future__ import annotations

import random

from palmette.grammar.language import Language
from palmette.grammar.node import Node, effects, fields_of
from palmette.grammar.sample import complete
from palmette.grammar.types import Child, Effect, Effects, Sort
from palmette.ops._base import Primitive


def operator_around(
    node: Primitive, language: Language, rng: random.Random, required: Effects
) -> Primitive | None:
    """The node itself if it maps [b t d], else that with the fewest classes around it that does.

    None if nothing in the language does.
    """
    ways: list[list[tuple[type[Node], str]]] = [[]]  # upwards: classes, and the field that holds
    while ways:
        way = ways.pop(0)
        sort = way[-1][0].sort if way else node.sort
        if not sort.is_term:
            break
        ways += [
            [*way, (cls, name)]
            for cls in language.nodes
            if cls not in [passed for passed, _ in way]
            for name, spec in fields_of(cls).items()
            if isinstance(spec, Child) and spec.sort.accepts(sort)
        ]
    else:
        return None
    for cls, name in way:
        made = complete(language, cls, rng, required, 12, (name, node))
        assert isinstance(made, Primitive), f"{cls.name} can be completed"
        node = made
    return node


def model_around(node: Primitive, language: Language) -> Primitive:
    """The node in the smallest model that can hold it."""
    wrapped = node
    if wrapped.sort is Sort.OPERATOR:
        wrapped = _made(language, "pre", wrapped)
    if wrapped.sort is Sort.MODEL:
        return wrapped
    return _made(language, "lm" if Effect.CAUSAL in effects(node) else "seq2seq", wrapped)


def _made(language: Language, name: str, kid: Primitive) -> Primitive:
    cls = language.get(name)
    (field,) = [name for name, spec in fields_of(cls).items() if isinstance(spec, Child)]
    made = cls(**{field: kid})
    assert isinstance(made, Primitive), f"{name} has a torch half"
    return made
