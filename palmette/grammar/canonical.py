"""The canonical form: one tree for all the ways to write the same architecture.

Bottom-up to a fixpoint: the children of a node that commutes are sorted by their text, and
everything else is each combinator's own `simplified`. A genome's hash is that of this form.
"""

from __future__ import annotations

from palmette.grammar.node import Node, fields_of
from palmette.grammar.syntax import unparse
from palmette.grammar.types import Child


def canonical(node: Node) -> Node:
    """The canonical form of a well-typed tree; idempotent, never larger, of the same meaning.

    A rewriting that would hold more children than a field allows is left out, so that the result
    is well typed too.

    >>> import palmette
    >>> from palmette.grammar import parse, unparse
    >>> unparse(canonical(parse("seq(pre(glu()), pre(glu()))", palmette.language())))
    'lm(stack(pre(glu())))'
    """
    kids = node.nodes()
    settled = tuple(canonical(kid) for kid in kids)
    if node.commutes:
        settled = tuple(sorted(settled, key=unparse))
    current = node if settled == kids else node.with_nodes(settled)
    simpler = current.simplified()
    if simpler is current or simpler == current or _overfull(simpler):
        return current
    return canonical(simpler)


def _overfull(node: Node) -> bool:
    specs = fields_of(type(node)).items()
    return any(
        isinstance(spec, Child) and spec.many and len(getattr(node, field)) > spec.most
        for field, spec in specs
    )
