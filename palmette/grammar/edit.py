"""Typed edits: the edges of the tree of architectures.

Each kind of edit lists its possible changes lazily and in random order; the first whose canonical
form is well typed, small enough and another genome than the parent is taken. Subtree replacement
and crossover follow Montana's strongly typed genetic programming; the size-fair choice of a donor's
subtree is Langdon's (Size Fair and Homologous Tree Crossovers for Tree Genetic Programming, 2000).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

from palmette.grammar.canonical import canonical
from palmette.grammar.language import Language, keeps
from palmette.grammar.node import Node, effects, fields_of, held_by
from palmette.grammar.rules import Site, check, sites
from palmette.grammar.sample import complete, sample
from palmette.grammar.syntax import unparse
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Knob, Sort, Value, literal

T = TypeVar("T")

Kind = Literal["replace", "tune", "insert", "prune", "wrap", "split", "graft"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ATTEMPTS = 8  # samples at one place before going on to the next
NEW_NODES = 6  # at most, in what an insertion adds


@dataclass(frozen=True)
class Edited:
    """What an edit made of a genome.

    node     the new genome, canonical
    kind     the kind of edit
    path     child numbers from the parent's root to the place that changed
    before   text of the subtree at that place
    after    text of what stands there now, before the whole is brought to canonical form
    text     the edit in one line for people
    """

    node: Node
    kind: Kind
    path: tuple[int, ...]
    before: str
    after: str
    text: str


@dataclass(frozen=True)
class _Change:
    """A new subtree for a site, and the edit in words."""

    site: Site
    new: Node
    words: str


def edit(
    root: Node,
    language: Language,
    rng: random.Random,
    kinds: Iterable[Kind] | None = None,
    most: int = 48,
    required: Effects = NO_EFFECTS,
) -> Edited:
    """One random edit of a canonical genome: first its kind, then its place, both uniformly.

    The result is canonical and well typed, keeps the effects in `required`, differs from the
    parent, and has at most `most` nodes, or as many as the parent if that has more.

    Raises `ValueError` if no edit of these kinds is possible.

    >>> import palmette
    >>> parent = palmette.parse("stack(pre(lin()))").root
    >>> made = edit(parent, palmette.language(), random.Random(1), kinds=["prune"])
    >>> unparse(made.node), made.text
    ('lm(pre(lin()))', 'prune: stack(pre(lin())) -> its part pre(lin()) at lm')
    """
    tried = list(dict.fromkeys(kinds)) if kinds is not None else list(_CHANGES)
    if unknown := [kind for kind in tried if kind not in _CHANGES]:
        raise ValueError(
            f"edit makes the kinds {', '.join(_CHANGES)}, not {', '.join(map(str, unknown))}"
            + ("; a graft needs a donor: call graft" if "graft" in unknown else "")
        )
    bench = _Bench.of(root, language, rng, most, required)
    for kind in bench.shuffled(tried):
        for change in _CHANGES[kind](bench):
            if edited := bench.accepted(kind, change):
                return edited
    raise ValueError(
        f"no edit of kind {' or '.join(tried)} changes {bench.text} within {bench.most} nodes; "
        "allow other kinds or more nodes"
    )


def graft(
    root: Node,
    donor: Node,
    language: Language,
    rng: random.Random,
    most: int = 48,
    required: Effects = NO_EFFECTS,
) -> Edited:
    """Crossover: a subtree of `root` is replaced by one of `donor` that its place allows.

    A subtree between half and twice the size of the old one is preferred. The result is as in
    `edit`.

    Raises `ValueError` if no subtree of the donor makes another genome.
    """
    bench = _Bench.of(root, language, rng, most, required)
    for change in _grafts(bench, donor):
        if edited := bench.accepted("graft", change):
            return edited
    raise ValueError(
        f"no part of {unparse(donor)} fits into {bench.text} and changes it within "
        f"{bench.most} nodes; take another donor"
    )


@dataclass(frozen=True)
class _Bench:
    """A genome under edit."""

    root: Node
    text: str
    size: int
    sites: tuple[Site, ...]
    language: Language
    rng: random.Random
    most: int
    required: Effects

    @classmethod
    def of(
        cls, root: Node, language: Language, rng: random.Random, most: int, required: Effects
    ) -> _Bench:
        size = _size(root)
        found = tuple(sites(root, required))
        return cls(root, unparse(root), size, found, language, rng, max(most, size), required)

    @property
    def room(self) -> int:
        """How many nodes may be added."""
        return self.most - self.size

    def shuffled(self, things: Iterable[T]) -> list[T]:
        listed = list(things)
        return self.rng.sample(listed, len(listed))

    def accepted(self, kind: Kind, change: _Change) -> Edited | None:
        """The edit that a change is, unless its canonical form is no new genome in bounds."""
        site = change.site
        node = canonical(_replaced(self.root, site.path, change.new))
        if _size(node) > self.most or unparse(node) == self.text:
            return None
        if check(node, self.language, self.required, self.root.sort):
            return None  # a canonical form that overfills a node above
        above = "/".join(site.names)
        text = f"{kind}: {change.words}" + (f" at {above}" if above else "")
        return Edited(node, kind, site.path, unparse(site.node), unparse(change.new), text)

    def sampled(self, sort: Sort, required: Effects, most: int) -> Iterator[Node]:
        """A few samples for a place, none if nothing fits into so many nodes."""
        least = self.language.smallest(sort, required)
        if least is not None and least <= most:
            for _ in range(ATTEMPTS):
                yield sample(self.language, sort, self.rng, required, most)


def _replacements(bench: _Bench) -> Iterator[_Change]:
    for site in bench.shuffled(bench.sites[1:]):
        size = _size(site.node)
        # About as large as what it replaces, so that genomes do not bloat.
        least = bench.language.smallest(site.sort, site.required) or 0
        most = min(size + bench.room, max(least, 2 * size + 2))
        for new in bench.sampled(site.sort, site.required, most):
            yield _Change(site, new, f"{_short(site.node)} -> {_short(new)}")


def _tunings(bench: _Bench) -> Iterator[_Change]:
    for site in bench.shuffled(bench.sites):
        for name, value in bench.shuffled(_other_values(site)):
            new = site.node.with_knob(name, value)
            yield _Change(site, new, _tuned(site.node, name, value))


def _insertions(bench: _Bench) -> Iterator[_Change]:
    places: list[tuple[Site, int | str]] = [
        (site, number) for site in bench.sites for number in _openings(site)
    ]
    sequence = bench.language.sequence
    if sequence:
        places += [
            (site, side)
            for site in bench.sites
            for side in ("before", "after")
            if _may_become(site, sequence) and not isinstance(site.node, sequence)
        ]
    for site, where in bench.shuffled(places):
        if isinstance(where, int):
            yield from _inserted_into(bench, site, where)
        else:
            assert sequence is not None
            yield from _inserted_beside(bench, site, sequence, where)


def _inserted_into(bench: _Bench, site: Site, number: int) -> Iterator[_Change]:
    (spec,) = (s for s in _child_specs(site.node).values() if s.many)
    kids = site.node.nodes()
    required = site.required | spec.requires
    for new in bench.sampled(spec.sort, required, min(NEW_NODES, bench.room)):
        grown = site.node.with_nodes((*kids[:number], new, *kids[number:]))
        yield _Change(site, grown, f"{_short(new)} into {site.node.name}")


def _inserted_beside(
    bench: _Bench, site: Site, sequence: type[Node], side: str
) -> Iterator[_Change]:
    for new in bench.sampled(Sort.BLOCK, site.required, min(NEW_NODES, bench.room - 1)):
        pair = (new, site.node) if side == "before" else (site.node, new)
        both = sequence(**held_by(sequence, pair))
        yield _Change(site, both, f"{_short(new)} {side} {_short(site.node)}")


def _prunings(bench: _Bench) -> Iterator[_Change]:
    places = [(site, n, True) for site in bench.sites for n in _removable(site)]
    places += [
        (site, number, False)
        for site in bench.sites
        for number, kid in enumerate(site.node.nodes())
        if site.sort.accepts(kid.sort)
    ]
    for site, number, removed in bench.shuffled(places):
        kids = site.node.nodes()
        kid = kids[number]
        if removed:
            new = site.node.with_nodes((*kids[:number], *kids[number + 1 :]))
            yield _Change(site, new, f"{_short(kid)} from {site.node.name}")
        else:
            yield _Change(site, kid, f"{_short(site.node)} -> its part {_short(kid)}")


def _wrappings(bench: _Bench) -> Iterator[_Change]:
    for site in bench.shuffled(bench.sites[1:]):
        kept = effects(site.node)
        ways = [
            (cls, name)
            for cls in bench.language.of(site.sort, site.required)
            for name, spec in _child_specs(cls).items()
            if spec.sort.accepts(site.node.sort) and site.required | spec.requires <= kept
        ]
        # The order of a draw without replacement by odds (Efraimidis and Spirakis 2006).
        ways.sort(key=lambda way: -(bench.rng.random() ** (1 / max(way[0].odds, 1e-9))))
        for cls, name in ways:
            given = (name, site.node)
            most = min(NEW_NODES, bench.room)
            for _ in range(ATTEMPTS):
                new = complete(bench.language, cls, bench.rng, site.required, most, given)
                if new is not None:
                    yield _Change(site, new, f"{_short(site.node)} in {_short(new)}")


def _splits(bench: _Bench) -> Iterator[_Change]:
    sequence = bench.language.sequence
    if sequence is None:
        return
    for site in bench.shuffled(bench.sites):
        if not (site.node.splits and _may_become(site, sequence)):
            continue
        depth = len(site.path)
        below = [s for s in bench.sites if s.path[:depth] == site.path and len(s.path) > depth]
        for inner in bench.shuffled(below):
            for name, value in bench.shuffled(_other_values(inner)):
                tuned = inner.node.with_knob(name, value)
                copy = _replaced(site.node, inner.path[depth:], tuned).nodes()
                parts = (site.node, *copy) if bench.rng.random() < 0.5 else (*copy, site.node)
                if _fits(sequence, len(parts)):
                    words = f"a copy of {_short(site.node)} with {_tuned(inner.node, name, value)}"
                    yield _Change(site, sequence(**held_by(sequence, parts)), words)


def _grafts(bench: _Bench, donor: Node) -> Iterator[_Change]:
    parts = [(node, _size(node), effects(node)) for _, node in donor.walk()]
    unfair: list[tuple[Site, Node]] = []
    for site in bench.shuffled(bench.sites[1:]):
        size = _size(site.node)
        for part, part_size, kept in bench.shuffled(parts):
            if not site.sort.accepts(part.sort) or not site.required <= kept:
                continue
            if size <= 2 * part_size and part_size <= 2 * size:
                yield _Change(site, part, f"{_short(site.node)} -> {_short(part)}")
            else:
                unfair.append((site, part))
    for site, part in bench.shuffled(unfair):
        yield _Change(site, part, f"{_short(site.node)} -> {_short(part)}")


_CHANGES: dict[Kind, Callable[[_Bench], Iterator[_Change]]] = {
    "replace": _replacements,
    "tune": _tunings,
    "insert": _insertions,
    "prune": _prunings,
    "wrap": _wrappings,
    "split": _splits,
}


def _other_values(site: Site) -> list[tuple[str, Value]]:
    """Every knob with every value that the place allows, except the one it has."""
    return [
        (name, value)
        for name, spec in fields_of(type(site.node)).items()
        if isinstance(spec, Knob)
        for value in spec.allowed(site.required)
        if value != getattr(site.node, name)
    ]


def _may_become(site: Site, cls: type[Node]) -> bool:
    return site.sort.accepts(cls.sort) and keeps(cls, site.required)


def _child_specs(given: Node | type[Node]) -> dict[str, Child]:
    cls = given if isinstance(given, type) else type(given)
    return {name: spec for name, spec in fields_of(cls).items() if isinstance(spec, Child)}


def _many(site: Site) -> tuple[Child, range] | None:
    """The field with many children, if there is one, and the child numbers that it holds."""
    for start, (name, spec) in enumerate(_child_specs(site.node).items()):
        if spec.many:  # the fields before it hold one child each
            return spec, range(start, start + len(getattr(site.node, name)))
    return None


def _openings(site: Site) -> Iterable[int]:
    """The child numbers at which one more child may be inserted."""
    found = _many(site)
    if not found or len(found[1]) >= found[0].most:
        return ()
    return range(found[1].start, found[1].stop + 1)


def _removable(site: Site) -> Iterable[int]:
    """The child numbers of children that may be left out."""
    found = _many(site)
    return found[1] if found and len(found[1]) > found[0].least else ()


def _fits(cls: type[Node], number: int) -> bool:
    return all(not spec.many or number <= spec.most for spec in _child_specs(cls).values())


def _replaced(node: Node, path: tuple[int, ...], new: Node) -> Node:
    if not path:
        return new
    kids = list(node.nodes())
    kids[path[0]] = _replaced(kids[path[0]], path[1:], new)
    return node.with_nodes(kids)


def _size(node: Node) -> int:
    return sum(1 for _ in node.walk())


def _tuned(node: Node, name: str, value: Value) -> str:
    return f"{node.name}.{name} {literal(getattr(node, name))} -> {literal(value)}"


def _short(node: Node) -> str:
    text = unparse(node)
    return text if len(text) <= 60 else text[:57] + "..."
