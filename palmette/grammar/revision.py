"""Revisions: edits of a genome as JSON data, the way a designer proposes them.

    {"move": "replace", "at": "p2", "new": NODE}
    {"move": "insert",  "at": "p2", "side": "before" or "after", "new": NODE}
    {"move": "prune",   "at": "p2"}
    {"move": "tune",    "at": "p2", "knob": "erase", "value": "beta"}
    {"move": "rewrite", "new": NODE}

A NODE is a genome's part in its JSON form, or a string with its text. The places of a genome are
numbered from the root: p0, p1, … The root keeps its class: it can be tuned and rewritten alone.
Data of any kind ends in an edit or in a `GenomeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

from palmette.errors import Fault, GenomeError
from palmette.grammar import rules
from palmette.grammar.change import (
    Change,
    Edited,
    child_specs,
    many,
    may_become,
    openings,
    problems,
    removable,
    short,
    size_of,
    tuned,
)
from palmette.grammar.language import Language, Want
from palmette.grammar.node import Node, fields_of, held_by
from palmette.grammar.rules import Site, sites
from palmette.grammar.schema import read_knob, read_part
from palmette.grammar.types import NO_EFFECTS, Effects, Knob, literal

Move = Literal["replace", "insert", "prune", "tune", "rewrite"]
MOVES: tuple[Move, ...] = get_args(Move)
SIDES = ("before", "after")
TAKES: dict[Move, tuple[str, ...]] = {
    "replace": ("at", "new"),
    "insert": ("at", "side", "new"),
    "prune": ("at",),
    "tune": ("at", "knob", "value"),
    "rewrite": ("new",),
}
LARGEST_MADE = 48  # nodes of a revised genome, or as many as the parent if that has more


def numbered(root: Node, required: Effects = NO_EFFECTS) -> tuple[tuple[str, Site], ...]:
    """The places of a genome with the names that revisions call them by, parents first.

    >>> import palmette
    >>> root = palmette.parse("stack(pre(lin()))").root
    >>> [(name, site.node.name) for name, site in numbered(root)]
    [('p0', 'lm'), ('p1', 'stack'), ('p2', 'pre'), ('p3', 'lin')]
    """
    return tuple((f"p{number}", site) for number, site in enumerate(sites(root, required)))


def revise(
    root: Node,
    data: object,
    language: Language,
    most: int = LARGEST_MADE,
    required: Effects = NO_EFFECTS,
) -> Edited:
    """The edit of a canonical genome that JSON data describes.

    The result is canonical and well typed, keeps the effects in `required`, differs from the
    parent, and has at most `most` nodes, or as many as the parent if that has more.

    Raises `GenomeError` with every fault; each begins with its JSON path, as in `$.new.op`.

    >>> import palmette
    >>> root = palmette.parse("stack(pre(lin()))").root
    >>> data = {"move": "tune", "at": "p3", "knob": "erase", "value": "beta"}
    >>> revise(root, data, palmette.language()).text
    "tune: lin.erase 'none' -> 'beta' at lm/stack/pre"
    """
    desk = _Desk(root, language, required, dict(numbered(root, required)))
    move, given = desk.opened(data)
    change = _CHANGES[move](desk, given) if move else None
    if desk.faults or move is None or change is None:
        raise GenomeError(desk.faults)
    edited = change.made(root, move)
    if found := list(problems(edited, root, language, max(most, size_of(root)), required)):
        raise GenomeError(Fault(0, 0, f"$: {problem}") for problem in found)
    return edited


def insertable(above: Site | None, site: Site, language: Language) -> Want | None:
    """What may be inserted beside the node at a site: into the list that it is in, or, with it,
    into a sequence. None if nothing can be. `above` is the site of its parent, None for the root.
    """
    if above is None:
        return None
    if (found := _in_list(above, site)) and openings(above):
        return found
    sequence = language.sequence
    if sequence is None or not may_become(site, sequence):
        return None
    ((_, spec),) = child_specs(sequence).items()
    return (spec.sort, site.required | spec.requires) if spec.sort.accepts(site.sort) else None


def pruned(above: Site | None, site: Site) -> tuple[Site, Node] | None:
    """The place that changes when the node at a site goes, and what stands there then.

    The node leaves a list that holds more than it needs; or its only neighbour takes the place of
    the two; or, where neither can be, the node gives way to its only part. None if none can be.
    """
    if above is None:
        return None
    number = site.path[-1]
    kids = above.node.nodes()
    rest = (*kids[:number], *kids[number + 1 :])
    if number in removable(above):
        return above, above.node.with_nodes(rest)
    if above.path and len(rest) == 1 and above.sort.accepts(rest[0].sort):
        return above, rest[0]
    own = site.node.nodes()
    if len(own) == 1 and site.sort.accepts(own[0].sort):
        return site, own[0]
    return None


def parents(places: Iterable[tuple[str, Site]]) -> dict[str, Site | None]:
    """The site of each place's parent, None for the root's."""
    by_path: dict[tuple[int, ...], Site] = {}
    found: dict[str, Site | None] = {}
    for name, site in places:  # parents come first
        found[name] = by_path[site.path[:-1]] if site.path else None
        by_path[site.path] = site
    return found


def _in_list(above: Site, site: Site) -> Want | None:
    """What the list wants that a node is in; None if it is not in one."""
    found = many(above)
    if found is None or site.path[-1] not in found[1]:
        return None
    return found[0].sort, above.required | found[0].requires


@dataclass
class _Desk:
    """A genome under revision; collects the faults of the data."""

    root: Node
    language: Language
    required: Effects
    places: dict[str, Site]
    faults: list[Fault] = field(default_factory=list)

    @cached_property
    def above(self) -> dict[str, Site | None]:
        return parents(self.places.items())

    def fault(self, path: str, problem: str) -> None:
        self.faults.append(Fault(0, 0, f"{path}: {problem}"))

    def opened(self, data: object) -> tuple[Move | None, dict[str, object]]:
        """The move, None if it is none, and what it takes."""
        listed = rules.either(MOVES)
        if not isinstance(data, dict):
            self.fault("$", f'wanted {{"move": {listed}, ...}}, got {rules.shown(data)}')
            return None, {}
        move = next((known for known in MOVES if known == data.get("move")), None)
        if move is None:
            got = rules.shown(data["move"]) if "move" in data else "none"
            self.fault("$.move", f"wanted {listed}, got {got}")
            return None, {}
        # A server that fills in every field gives null for those that the move does not take.
        spare = [key for key in data if key not in ("move", *TAKES[move]) and data[key] is not None]
        if spare:
            shown = ", ".join(rules.shown(key) for key in spare[:8])
            self.fault("$", f"{move} takes {rules.either(TAKES[move], 'and')}; leave out {shown}")
        for key in TAKES[move]:
            if key not in data:
                self.fault("$", f"{move} needs {key}")
        return move, data

    def site(self, given: dict[str, object]) -> Site | None:
        """The place that is meant, None after reporting that there is none."""
        if "at" not in given:
            return None
        at = given["at"]
        if isinstance(at, str) and at in self.places:
            return self.places[at]
        listed = ", ".join(f"{name} {site.node.name}" for name, site in self.places.items())
        self.fault("$.at", f"no place is called {rules.shown(at)}; there are {listed}")
        return None

    def inner(self, given: dict[str, object], move: Move) -> Site | None:
        """The same for a place below the root."""
        site = self.site(given)
        if site is None or site.path:
            return site
        self.fault("$.at", f"p0 is the model and stays {site.node.name}: {move} p1, or use rewrite")
        return None

    def new(self, given: dict[str, object], want: Want | None) -> Node | None:
        """The new node, read for its place; where that is at fault, any node will do."""
        if "new" not in given:
            return None
        sort, required = want or (None, NO_EFFECTS)
        try:
            return read_part(given["new"], self.language, sort, required, "$.new", written=True)
        except GenomeError as error:
            self.faults += error.faults
            return None


def _replacement(desk: _Desk, given: dict[str, object]) -> Change | None:
    site = desk.inner(given, "replace")
    new = desk.new(given, (site.sort, site.required) if site else None)
    if site is None or new is None:
        return None
    return Change(site, new, f"{short(site.node)} -> {short(new)}")


def _rewriting(desk: _Desk, given: dict[str, object]) -> Change | None:
    top = desk.places["p0"]
    new = desk.new(given, (top.sort, top.required))
    if new is None:
        return None
    if type(new) is not type(top.node):
        desk.fault("$.new", f"the model stays {top.node.name}(...), got {new.name}(...)")
        return None
    return Change(top, new, f"{short(top.node)} -> {short(new)}")


def _insertion(desk: _Desk, given: dict[str, object]) -> Change | None:
    site = desk.inner(given, "insert")
    side = given.get("side")
    if "side" in given and side not in SIDES:
        desk.fault("$.side", f"wanted {rules.either(map(repr, SIDES))}, got {rules.shown(side)}")
    above = desk.above[str(given["at"])] if site else None
    want = insertable(above, site, desk.language) if site else None
    if site and want is None:
        fitting = [
            f"{name} {other.node.name}"
            for name, other in desk.places.items()
            if insertable(desk.above[name], other, desk.language)
        ]
        instead = f"insert at {', '.join(fitting)}" if fitting else "replace it"
        desk.fault("$.at", f"nothing can stand beside {site.node.name} here; {instead}")
    new = desk.new(given, want)
    if site is None or above is None or want is None or new is None or side not in SIDES:
        return None
    pair = (new, site.node) if side == "before" else (site.node, new)
    words = f"{short(new)} {side} {short(site.node)}"
    number = site.path[-1]
    if _in_list(above, site) and openings(above):
        kids = above.node.nodes()
        grown = above.node.with_nodes((*kids[:number], *pair, *kids[number + 1 :]))
        return Change(above, grown, words)
    sequence = desk.language.sequence
    assert sequence is not None, "something may stand beside the node"
    return Change(site, sequence(**held_by(sequence, pair)), words)


def _pruning(desk: _Desk, given: dict[str, object]) -> Change | None:
    site = desk.inner(given, "prune")
    if site is None:
        return None
    found = pruned(desk.above[str(given["at"])], site)
    if found is None:
        fitting = [
            f"{name} {other.node.name}"
            for name, other in desk.places.items()
            if pruned(desk.above[name], other)
        ]
        instead = f"prune {', '.join(fitting)}" if fitting else "replace it"
        desk.fault("$.at", f"{site.node.name} is needed where it stands; {instead}")
        return None
    where, new = found
    if where is site:
        return Change(site, new, f"{short(site.node)} -> its part {short(new)}")
    return Change(where, new, f"{short(site.node)} from {where.node.name}")


def _tuning(desk: _Desk, given: dict[str, object]) -> Change | None:
    site = desk.site(given)
    if site is None or "knob" not in given:
        return None
    cls, name = type(site.node), given["knob"]
    specs = fields_of(cls)
    if not isinstance(name, str) or not isinstance(specs.get(name), Knob):
        known = [other for other, spec in specs.items() if isinstance(spec, Knob)]
        listed = f"its knobs are {', '.join(known)}" if known else "it has none"
        desk.fault("$.knob", f"{cls.name} has no knob called {rules.shown(name)}; {listed}")
        return None
    if "value" not in given:
        return None
    value, problem = read_knob(cls, name, given["value"], site.required)
    if problem or value is None:
        desk.fault("$.value", problem or "")
        return None
    if value == getattr(site.node, name):
        spec = specs[name]
        assert isinstance(spec, Knob)
        others = [literal(one) for one in spec.allowed(site.required) if one != value]
        instead = f"use {rules.either(others)}" if others else "tune another knob"
        desk.fault("$.value", f"{cls.name}.{name} is {literal(value)} already; {instead}")
        return None
    return Change(site, site.node.with_knob(name, value), tuned(site.node, name, value))


_CHANGES: dict[Move, Callable[[_Desk, dict[str, object]], Change | None]] = {
    "replace": _replacement,
    "insert": _insertion,
    "prune": _pruning,
    "tune": _tuning,
    "rewrite": _rewriting,
}
