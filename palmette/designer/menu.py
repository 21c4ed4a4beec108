"""A menu: the part of the language that a designer is offered for one proposal.

A small model cannot hold the whole language in its context, and a schema of it would be large. So
each proposal gets a dozen node classes: those that the genome and the retrieved cards are made of,
what completes them, and others drawn by their odds.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from functools import lru_cache

from palmette.grammar.language import Language, Want
from palmette.grammar.levels import wants_of
from palmette.grammar.node import Node
from palmette.grammar.syntax import signature
from palmette.grammar.types import NO_EFFECTS, Sort


def menu(
    language: Language,
    keep: Collection[type[Node]],
    most: int = 12,
    rng: random.Random | None = None,
) -> Language:
    """A part of a language that holds `keep`, the usual model and the sequence.

    Whatever may stand in a model can be completed with the menu alone. It has `most` classes at
    most unless more are needed for that; what is left is filled with others of the language, drawn
    by their odds, or in the order of the language if there is no generator.

    >>> import palmette
    >>> language = palmette.language()
    >>> [cls.name for cls in menu(language, [language.get("rule")], most=1).nodes]
    ['key', 'lin', 'lm', 'outer', 'pre', 'rule', 'seq', 'value']
    """
    sequence = () if language.sequence is None else (language.sequence,)
    held = _completed(language, {language.model, *sequence, *keep})
    for cls in _drawn(language, held, rng):
        if len(held) >= most:
            break
        # A leaf opens no place that would have to be completed.
        grown = _completed(language, held | {cls}) if _opens(cls) else held | {cls}
        if len(grown) <= most:
            held = grown
    return _part(language, held)


def described(menu: Language) -> str:
    """The signatures of a menu for a prompt, by the sort of the nodes.

    The first value of a knob is the one that it has where it is left out.

    >>> import palmette
    >>> language = palmette.language()
    >>> print(described(menu(language, [language.get("glu")], most=1)))
    Model: lm(Core, tie: True|False, positions: 'none'|'learned', norm: 'rms'|'layer', \
head: 'dot'|'mlp'|'neumf')
    Core: seq(Core{2..6})
    Block: pre(Op, norm: 'rms'|'layer')
    Op: glu(ratio: 8/3|1|4/3|2|4, activation: 'silu'|'gelu'|'sigmoid')
    """
    return "\n".join(
        f"{sort.value}: {signature(cls)}" for sort in Sort for cls in menu.nodes if cls.sort is sort
    )


def _drawn(
    language: Language, held: Collection[type[Node]], rng: random.Random | None
) -> list[type[Node]]:
    """The classes that may stand in the models held and are none of them, in the order drawn."""
    models = frozenset(cls for cls in held if cls.sort is Sort.MODEL)
    others = [cls for cls in _reached(language, models) if cls not in held]
    if rng is None:
        return others
    # The order of a draw without replacement by odds (Efraimidis and Spirakis 2006).
    keys = {cls: rng.random() ** (1 / max(cls.odds, 1e-9)) for cls in others}
    return sorted(others, key=lambda cls: -keys[cls])


@lru_cache(maxsize=16)
def _reached(language: Language, models: frozenset[type[Node]]) -> tuple[type[Node], ...]:
    """What may stand in these models, terms of a rule aside."""
    found = {cls for want in _wants(language, models) for cls in language.of(*want)}
    return tuple(cls for cls in language.nodes if cls in found and not cls.sort.is_term)


def _opens(cls: type[Node]) -> bool:
    return bool(wants_of(cls, NO_EFFECTS))


def _completed(language: Language, held: Collection[type[Node]]) -> set[type[Node]]:
    """The classes with the smallest that complete whatever may stand in the models among them."""
    found = set(held)
    while True:
        part = _part(language, found)
        models = [cls for cls in found if cls.sort is Sort.MODEL]
        needed = {
            _smallest(language, want)
            for want in _wants(part, models)
            if not part.smallest(*want) and language.smallest(*want)
        }
        # The smallest missing place lacks its class, for the places below it are smaller still.
        if needed <= found:
            return found
        found |= needed


def _smallest(language: Language, want: Want) -> type[Node]:
    """The class of the smallest node for a place; of several, the likeliest."""
    sort, required = want
    return min(
        language.of(sort, required),
        key=lambda cls: (language.smallest_of(cls, required) or 0, -cls.odds),
    )


def _wants(language: Language, models: Iterable[type[Node]]) -> list[Want]:
    """Every place that may occur in these models, whether or not it can be completed."""
    found: list[Want] = []
    pending = [want for cls in models for want in wants_of(cls, NO_EFFECTS).values()]
    while pending:
        want = pending.pop(0)
        if want in found:
            continue
        found.append(want)
        sort, required = want
        for cls in language.nodes:
            if sort.accepts(cls.sort) and not cls.breaks & required:
                pending += wants_of(cls, required).values()
    return found


def _part(language: Language, held: Collection[type[Node]]) -> Language:
    return Language(tuple(cls for cls in language.nodes if cls in held))
