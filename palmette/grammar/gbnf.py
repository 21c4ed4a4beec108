"""A GBNF grammar of the text of genomes, for language models that decode under a grammar.

GBNF is the notation of llama.cpp: rules `name ::= …` with literals, `|`, `( )`, `?` and `{m,n}`.
The grammar is the canonical spelling of a genome to a bounded depth: a comma and one space between
arguments, knobs in the order of the node's fields, none at its absent value. Each place has a rule
of its own (sort, required effects, level), so whatever it accepts is well typed.
"""

from __future__ import annotations

from palmette.grammar.language import Language
from palmette.grammar.levels import Levels, title
from palmette.grammar.node import Node, fields_of
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Sort, literal


def gbnf(
    language: Language,
    depth: int = 6,
    sort: Sort = Sort.MODEL,
    required: Effects = NO_EFFECTS,
) -> str:
    """A GBNF grammar of all genomes at most `depth` nodes deep; its start is `root`.

    With another sort or required effects, of all trees for such a place.

    Raises `ValueError` if no genome is that shallow.

    >>> import palmette
    >>> print(gbnf(palmette.language(), depth=3).splitlines()[0])
    root ::= model-3
    """
    levels = Levels.of(language, (sort, required), depth)
    rules = {"root": _rule_name(title((sort, required), depth))}
    for (want, level), classes in levels.places.items():
        place = _rule_name(title(want, level))
        rules[place] = " | ".join(_rule_name(f"{cls.name}-{place}") for cls in classes)
        for cls in classes:
            rules[_rule_name(f"{cls.name}-{place}")] = _call(levels, cls, want[1], level - 1, rules)
    return "".join(f"{name} ::= {body}\n" for name, body in rules.items())


def _call(
    levels: Levels, cls: type[Node], required: Effects, below: int, rules: dict[str, str]
) -> str:
    """The body of a rule for one class; adds the rules of its knobs to `rules`."""
    ways: list[list[str]] = [[]]  # of writing what goes by place, each part with its comma
    knobs: list[tuple[str, bool]] = []  # rule, and whether it may be left out
    for name, spec in fields_of(cls).items():
        if isinstance(spec, Child):
            want = (spec.sort, required | spec.requires)
            kid = _rule_name(title(want, below))
            if not spec.many:
                ways = [[*way, _next(way, kid)] for way in ways]
                continue
            empty = ways if not spec.least else []
            least, most = max(spec.least, 1) - 1, spec.most - 1  # beyond the first
            rest = f'(", " {kid}){{{least},{most}}}'
            filled = ways if levels.possible(want, below) else []
            ways = [*empty, *([*way, _next(way, kid), rest] for way in filled)]
            continue
        values = [literal(c) for c in spec.allowed(required) if c != spec.absent]
        if not values:
            continue
        rule = _rule_name("-".join([cls.name, name, *sorted(effect.value for effect in required)]))
        choices = " | ".join(f'"{value}"' for value in values)
        rules[rule] = choices if spec.positional else f'"{name}=" ({choices})'
        if spec.positional:
            ways = [[*way, _next(way, rule)] for way in ways]
        else:
            knobs.append((rule, spec.absent in spec.allowed(required)))
    return " | ".join(
        " ".join([f'"{cls.name}("', *way, *tail, '")"'])
        for way in ways
        for tail in [_after_comma(knobs) if way else _from_the_start(knobs)]
    )


def _next(before: list[str], rule: str) -> str:
    return f'", " {rule}' if before else rule


def _after_comma(knobs: list[tuple[str, bool]]) -> list[str]:
    return [f'(", " {rule})?' if free else f'", " {rule}' for rule, free in knobs]


def _from_the_start(knobs: list[tuple[str, bool]]) -> list[str]:
    """Knobs of a node without other arguments: whichever comes first has no comma."""
    ways = []
    for number, (rule, free) in enumerate(knobs):
        ways.append(" ".join([rule, *_after_comma(knobs[number + 1 :])]))
        if not free:
            return [f"({' | '.join(ways)})"]
    return [f"({' | '.join(ways)})?"] if ways else []


def _rule_name(title: str) -> str:
    return title.lower().replace("_", "-")
