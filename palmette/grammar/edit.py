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
from typing import TypeVar

from palmette.grammar.change import (
    Change,
    Edited,
    Kind,
    child_specs,
    may_become,
    openings,
    problems,
    removable,
    replaced,
    short,
    size_of,
    tuned,
)
from palmette.grammar.language import Language
from palmette.grammar.node import Node, effects, fields_of, held_by
from palmette.grammar.rules import Site, sites
from palmette.grammar.sample import complete, sample
from palmette.grammar.syntax import unparse
from palmette.grammar.types import NO_EFFECTS, Effects, Knob, Sort, Value

T = TypeVar("T")

ATTEMPTS = 8  # samples at one place before going on to the next
NEW_NODES = 6  # at most, in what an insertion adds


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
        size = size_of(root)
        found = tuple(sites(root, required))
        return cls(root, unparse(root), size, found, language, rng, max(most, size), required)

    @property
    def room(self) -> int:
        """How many nodes may be added."""
        return self.most - self.size

    def shuffled(self, things: Iterable[T]) -> list[T]:
        listed = list(things)
        return self.rng.sample(listed, len(listed))

    def accepted(self, kind: Kind, change: Change) -> Edited | None:
        """The edit that a change is, unless its canonical form is no new genome in bounds."""
        edited = change.made(self.root, kind)
        faults = problems(edited, self.root, self.language, self.most, self.required)
        return edited if next(faults, None) is None else None

    def sampled(self, sort: Sort, required: Effects, most: int) -> Iterator[Node]:
        """A few samples for a place, none if nothing fits into so many nodes."""
        least = self.language.smallest(sort, required)
        if least is not None and least <= most:
            for _ in range(ATTEMPTS):
                yield sample(self.language, sort, self.rng, required, most)


def _replacements(bench: _Bench) -> Iterator[Change]:
    for site in bench.shuffled(bench.sites[1:]):
        size = size_of(site.node)
        # About as large as what it replaces, so that genomes do not bloat.
        least = bench.language.smallest(site.sort, site.required) or 0
        most = min(size + bench.room, max(least, 2 * size + 2))
        for new in bench.sampled(site.sort, site.required, most):
            yield Change(site, new, f"{short(site.node)} -> {short(new)}")


def _tunings(bench: _Bench) -> Iterator[Change]:
    for site in bench.shuffled(bench.sites):
        for name, value in bench.shuffled(_other_values(site)):
            new = site.node.with_knob(name, value)
            yield Change(site, new, tuned(site.node, name, value))


def _insertions(bench: _Bench) -> Iterator[Change]:
    places: list[tuple[Site, int | str]] = [
        (site, number) for site in bench.sites for number in openings(site)
    ]
    sequence = bench.language.sequence
    if sequence:
        places += [
            (site, side)
            for site in bench.sites
            for side in ("before", "after")
            if may_become(site, sequence) and not isinstance(site.node, sequence)
        ]
    for site, where in bench.shuffled(places):
        if isinstance(where, int):
            yield from _inserted_into(bench, site, where)
        else:
            assert sequence is not None
            yield from _inserted_beside(bench, site, sequence, where)


def _inserted_into(bench: _Bench, site: Site, number: int) -> Iterator[Change]:
    (spec,) = (s for s in child_specs(site.node).values() if s.many)
    kids = site.node.nodes()
    required = site.required | spec.requires
    for new in bench.sampled(spec.sort, required, min(NEW_NODES, bench.room)):
        grown = site.node.with_nodes((*kids[:number], new, *kids[number:]))
        yield Change(site, grown, f"{short(new)} into {site.node.name}")


def _inserted_beside(
    bench: _Bench, site: Site, sequence: type[Node], side: str
) -> Iterator[Change]:
    for new in bench.sampled(Sort.BLOCK, site.required, min(NEW_NODES, bench.room - 1)):
        pair = (new, site.node) if side == "before" else (site.node, new)
        both = sequence(**held_by(sequence, pair))
        yield Change(site, both, f"{short(new)} {side} {short(site.node)}")


def _prunings(bench: _Bench) -> Iterator[Change]:
    places = [(site, n, True) for site in bench.sites for n in removable(site)]
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
            yield Change(site, new, f"{short(kid)} from {site.node.name}")
        else:
            yield Change(site, kid, f"{short(site.node)} -> its part {short(kid)}")


def _wrappings(bench: _Bench) -> Iterator[Change]:
    for site in bench.shuffled(bench.sites[1:]):
        kept = effects(site.node)
        ways = [
            (cls, name)
            for cls in bench.language.of(site.sort, site.required)
            for name, spec in child_specs(cls).items()
            if spec.sort.accepts(site.node.sort) and site.required | spec.requires <= kept
        ]
        # The order of a draw without replacement by odds (Efraimidis and Spirakis 2006).
        odds = {cls: max(bench.language.odds(cls), 1e-9) for cls, _ in ways}
        ways.sort(key=lambda way: -(bench.rng.random() ** (1 / odds[way[0]])))
        for cls, name in ways:
            given = (name, site.node)
            most = min(NEW_NODES, bench.room)
            for _ in range(ATTEMPTS):
                new = complete(bench.language, cls, bench.rng, site.required, most, given)
                if new is not None:
                    yield Change(site, new, f"{short(site.node)} in {short(new)}")


def _splits(bench: _Bench) -> Iterator[Change]:
    sequence = bench.language.sequence
    if sequence is None:
        return
    for site in bench.shuffled(bench.sites):
        if not (site.node.splits and may_become(site, sequence)):
            continue
        depth = len(site.path)
        below = [s for s in bench.sites if s.path[:depth] == site.path and len(s.path) > depth]
        for inner in bench.shuffled(below):
            for name, value in bench.shuffled(_other_values(inner)):
                other = inner.node.with_knob(name, value)
                copy = replaced(site.node, inner.path[depth:], other).nodes()
                parts = (site.node, *copy) if bench.rng.random() < 0.5 else (*copy, site.node)
                if _fits(sequence, len(parts)):
                    words = f"a copy of {short(site.node)} with {tuned(inner.node, name, value)}"
                    yield Change(site, sequence(**held_by(sequence, parts)), words)


def _grafts(bench: _Bench, donor: Node) -> Iterator[Change]:
    parts = [(node, size_of(node), effects(node)) for _, node in donor.walk()]
    unfair: list[tuple[Site, Node]] = []
    for site in bench.shuffled(bench.sites[1:]):
        size = size_of(site.node)
        for part, part_size, kept in bench.shuffled(parts):
            if not site.sort.accepts(part.sort) or not site.required <= kept:
                continue
            if size <= 2 * part_size and part_size <= 2 * size:
                yield Change(site, part, f"{short(site.node)} -> {short(part)}")
            else:
                unfair.append((site, part))
    for site, part in bench.shuffled(unfair):
        yield Change(site, part, f"{short(site.node)} -> {short(part)}")


_CHANGES: dict[Kind, Callable[[_Bench], Iterator[Change]]] = {
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


def _fits(cls: type[Node], number: int) -> bool:
    return all(not spec.many or number <= spec.most for spec in child_specs(cls).values())
