"""The type rules, each in one place: what is wrong with a sort, a number of children, a knob.

Each rule returns a sentence for the reader, or None. `parse` asks them while it reads a text, so
that a fault has its line and column; `check` asks them about a tree that was made in Python.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

from palmette.errors import Fault, UnknownNameError
from palmette.grammar.language import Language
from palmette.grammar.node import Node, fields_of
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Knob, Sort, Value, literal


@dataclass(frozen=True)
class Site:
    """A place in a tree with the node that stands there and what the place asks of it.

    path       child numbers from the root
    names      node names from the root to the parent
    sort       the sort that the place wants
    required   the effects that the place requires, added up from the root
    """

    path: tuple[int, ...]
    names: tuple[str, ...]
    node: Node
    sort: Sort
    required: Effects

    @property
    def place(self) -> str:
        """The place for people, as in `lm/stack/pre`."""
        return "/".join((*self.names, self.node.name))


def sites(root: Node, required: Effects = NO_EFFECTS) -> Iterator[Site]:
    """Every place of a well-typed tree, parents first, in the order of `root.walk()`."""
    yield from _sites(Site((), (), root, root.sort, required))


def _sites(site: Site) -> Iterator[Site]:
    yield site
    specs = fields_of(type(site.node))
    names = (*site.names, site.node.name)
    for number, (field, kid) in enumerate(site.node.slots()):
        spec = specs[field]
        assert isinstance(spec, Child)
        required = site.required | spec.requires
        yield from _sites(Site((*site.path, number), names, kid, spec.sort, required))


def check(
    node: Node, language: Language, required: Effects = NO_EFFECTS, sort: Sort | None = None
) -> tuple[Fault, ...]:
    """All faults of a tree made in Python; empty if it is well typed.

    `required` are effects that the whole tree has to keep, `sort` what the root has to be.
    The messages begin with the place, as in `lm/pre: …`; line and column are 0.

    >>> import palmette
    >>> check(palmette.parse("pre(glu())").root, palmette.language())
    ()
    """
    return tuple(Fault(0, 0, message) for message in _faults(node, language, required, sort, ()))


def _faults(
    node: object,
    language: Language,
    required: Effects,
    wanted: Sort | None,
    names: tuple[str, ...],
) -> Iterator[str]:
    above = "/".join(names) or "root"
    if not isinstance(node, Node):
        yield f"{above}: wanted {a_sort(wanted)}, got {shown(node)}"
        return
    cls = type(node)
    if cls.name not in language or language.get(cls.name) is not cls:
        yield f"{above}: {unknown_node(cls.name, language)}"
        return
    place = "/".join((*names, cls.name))
    if wanted is not None and (problem := wrong_sort(cls, wanted, language)):
        yield f"{above}: {problem}"
    if problem := broken_by_class(cls, required):
        yield f"{place}: {problem}"
    number = 0
    for field, spec in fields_of(cls).items():
        held = getattr(node, field)
        if isinstance(spec, Knob):
            if problem := wrong_value(cls, field, held, shown(held), required):
                yield f"{place}: {problem}"
            continue
        if spec.many and not isinstance(held, tuple):
            yield f"{place}: {field} wants a tuple of nodes, got {shown(held)}"
            continue
        kids = held if spec.many else (held,)
        number += len(kids)
        for kid in kids:
            below = required | spec.requires
            yield from _faults(kid, language, below, spec.sort, (*names, cls.name))
    if problem := wrong_number(cls, number):
        yield f"{place}: {problem}"


def unknown_node(name: str, language: Language) -> str:
    """The sentence about a name that no node has."""
    return str(UnknownNameError("node", name, [cls.name for cls in language.nodes]))


def wrong_sort(given: type[Node], wanted: Sort, language: Language) -> str | None:
    """The fault of a node that stands where another sort is wanted."""
    if wanted.accepts(given.sort):
        return None
    fault = f"wanted {a_sort(wanted)}, got {given.name}(...), which is {a_sort(given.sort, True)}"
    if given.sort is Sort.MODEL:
        return f"{fault}; a Model stands only at the top: leave {given.name}(...) out here"
    if wrapper := language.wrapper(wanted, given.sort):
        return f"{fault}; did you mean {wrapper.name}({given.name}(...))?"
    names = ", ".join(cls.name for cls in language.of(wanted))
    return f"{fault}; use one of: {names}" if names else fault


def wrong_number(cls: type[Node], given: int) -> str | None:
    """The fault of a node with too few or too many children."""
    specs = [spec for spec in fields_of(cls).values() if isinstance(spec, Child)]
    least = sum(spec.least if spec.many else 1 for spec in specs)
    most = sum(spec.most if spec.many else 1 for spec in specs)
    if least <= given <= most:
        return None
    wanted = f"{'at least ' if least < most else ''}{least}" if given < least else f"at most {most}"
    if most == least:
        wanted = str(least or "no")
    children = "child" if wanted.endswith("1") else "children"
    return f"{cls.name} wants {wanted} {children}, got {given}: write {by_place(cls)}"


def by_place(cls: type[Node]) -> str:
    """How a node is written, its knobs aside: `repeat(n, Core, ...)`."""
    parts = []
    for name, spec in fields_of(cls).items():
        if isinstance(spec, Child):
            parts += [spec.sort.value] * max(1, spec.least) + ["..."] * spec.many
        elif spec.positional:
            parts.append(name)
    return f"{cls.name}({', '.join(parts)})"


def broken_by_class(cls: type[Node], required: Effects) -> str | None:
    """The fault of a node that gives up effects which its place requires."""
    lost = cls.breaks & required
    if not lost:
        return None
    return f"{cls.name} is not {listed_effects(lost)}, which this place requires; use another node"


def wrong_value(
    cls: type[Node], name: str, value: object, text: str, required: Effects = NO_EFFECTS
) -> str | None:
    """The fault of a knob whose value is no choice of it, or one that the place forbids.

    `text` is how the value was written.
    """
    spec = fields_of(cls)[name]
    assert isinstance(spec, Knob)
    found = choice(spec, value)
    if found is None:
        wanted = either(literal(c) for c in spec.choices)
        return f"{cls.name}.{name} wants {wanted}, got {text}{_nearest(spec, value)}"
    lost = spec.breaks.get(found, NO_EFFECTS) & required
    if not lost:
        return None
    fault = f"{cls.name}.{name}={literal(found)} is not {listed_effects(lost)}"
    fault += ", which this place requires"
    allowed = spec.allowed(required)
    return (
        f"{fault}; use {either(map(literal, allowed))}" if allowed else f"{fault}; use another node"
    )


def choice(spec: Knob, value: object) -> Value | None:
    """The choice of a knob that a value means, or None.

    Types are strict, so that True is not 1; only a ratio may be given as the equal int or float.
    """
    for one in spec.choices:
        exact = type(one) is type(value) and one == value
        ratio = isinstance(one, Fraction) and type(value) in (int, float) and one == value
        if exact or ratio:
            return one
    return None


def a_sort(sort: Sort | None, exactly: bool = False) -> str:
    """A sort in a sentence: `an Op`, `a Core or Block`."""
    if sort is None:
        return "a node"
    fitting = [sort] if exactly else [other for other in Sort if sort.accepts(other)]
    article = "an" if fitting[0].value[0] in "AEIOU" else "a"
    return f"{article} {' or '.join(other.value for other in fitting)}"


def listed_effects(effects: Effects) -> str:
    """Effects in a sentence, in a fixed order."""
    return " and ".join(sorted(effect.value for effect in effects))


def shown(value: object) -> str:
    """A value as a reader may see it: short, whatever it is."""
    if isinstance(value, Node):
        return f"{type(value).name}(...)"
    if isinstance(value, Fraction | int) and not -(10**30) < value < 10**30:
        return "a very large number"
    if isinstance(value, dict | list | tuple | set | frozenset) and value:
        return f"a {type(value).__name__} of {len(value)}"  # may be nested without end
    text = repr(value[:80]) if isinstance(value, str) else repr(value)
    text = str(value) if isinstance(value, Fraction) else text
    return text if len(text) <= 40 else text[:37] + "..."


def _nearest(spec: Knob, value: object) -> str:
    if isinstance(value, str):
        names = [c for c in spec.choices if isinstance(c, str)]
        near = difflib.get_close_matches(value[:80], names, n=1)
        return f"; did you mean {near[0]!r}?" if near else ""
    if isinstance(value, float):
        near_ratio = [c for c in spec.choices if isinstance(c, Fraction) and float(c) == value]
        return f"; did you mean {literal(near_ratio[0])}?" if near_ratio else ""
    return ""


def either(words: Iterable[str], joined: str = "or") -> str:
    """Alternatives in a sentence: `a, b or c`."""
    *most, last = words
    return f"{', '.join(most)} {joined} {last}" if most else last
