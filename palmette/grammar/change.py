"""A change of a genome: a new subtree at a place, and what becomes of the whole by it.

Random edits, crossover and revisions by a designer all end here: the canonical form of the result
has to be another genome, well typed and small enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from palmette.grammar.canonical import canonical
from palmette.grammar.language import Language, keeps
from palmette.grammar.node import Node, fields_of
from palmette.grammar.rules import Site, check
from palmette.grammar.syntax import unparse
from palmette.grammar.types import NO_EFFECTS, Child, Effects, Value, literal

Kind = Literal["replace", "tune", "insert", "prune", "wrap", "split", "graft"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Edited:
    """What an edit made of a genome.

    node     the new genome, canonical
    kind     the kind of edit; a rewrite leaves nothing but the root's class
    path     child numbers from the parent's root to the place that changed
    before   text of the subtree at that place
    after    text of what stands there now, before the whole is brought to canonical form
    text     the edit in one line for people
    """

    node: Node
    kind: Kind | Literal["rewrite"]
    path: tuple[int, ...]
    before: str
    after: str
    text: str


@dataclass(frozen=True)
class Change:
    """A new subtree for a site, and the edit in words."""

    site: Site
    new: Node
    words: str

    def made(self, root: Node, kind: Kind | Literal["rewrite"]) -> Edited:
        """What becomes of the genome that the site is in."""
        node = canonical(replaced(root, self.site.path, self.new))
        above = "/".join(self.site.names)
        text = f"{kind}: {self.words}" + (f" at {above}" if above else "")
        before, after = unparse(self.site.node), unparse(self.new)
        return Edited(node, kind, self.site.path, before, after, text)


def problems(
    edited: Edited, root: Node, language: Language, most: int, required: Effects = NO_EFFECTS
) -> Iterator[str]:
    """Why an edit of a canonical genome is none: it changes nothing, is too large or ill typed."""
    if (size := size_of(edited.node)) > most:
        yield f"the genome would have {size} nodes, of {most} at most; take something smaller"
    if edited.node == root:
        yield f"this changes nothing: the genome stays {unparse(root)}; make another change"
    else:  # a canonical form may overfill a node above
        for fault in check(edited.node, language, required, root.sort):
            yield f"in the genome that this makes, {fault.message}"


def replaced(node: Node, path: tuple[int, ...], new: Node) -> Node:
    """The tree with another subtree at a path."""
    if not path:
        return new
    kids = list(node.nodes())
    kids[path[0]] = replaced(kids[path[0]], path[1:], new)
    return node.with_nodes(kids)


def size_of(node: Node) -> int:
    """The number of nodes of a tree."""
    return sum(1 for _ in node.walk())


def child_specs(given: Node | type[Node]) -> dict[str, Child]:
    """The fields of a node that hold children."""
    cls = given if isinstance(given, type) else type(given)
    return {name: spec for name, spec in fields_of(cls).items() if isinstance(spec, Child)}


def may_become(site: Site, cls: type[Node]) -> bool:
    """Whether a node of this class may stand at a site, its children aside."""
    return site.sort.accepts(cls.sort) and keeps(cls, site.required)


def many(site: Site) -> tuple[Child, range] | None:
    """The field with many children, if there is one, and the child numbers that it holds."""
    for start, (name, spec) in enumerate(child_specs(site.node).items()):
        if spec.many:  # the fields before it hold one child each
            return spec, range(start, start + len(getattr(site.node, name)))
    return None


def openings(site: Site) -> range:
    """The child numbers at which one more child may be inserted."""
    found = many(site)
    if not found or len(found[1]) >= found[0].most:
        return range(0)
    return range(found[1].start, found[1].stop + 1)


def removable(site: Site) -> range:
    """The child numbers of children that may be left out."""
    found = many(site)
    return found[1] if found and len(found[1]) > found[0].least else range(0)


def tuned(node: Node, name: str, value: Value) -> str:
    """Another value of a knob, in words."""
    return f"{node.name}.{name} {literal(getattr(node, name))} -> {literal(value)}"


def short(node: Node) -> str:
    """The text of a tree, shortened."""
    text = unparse(node)
    return text if len(text) <= 60 else text[:57] + "..."
