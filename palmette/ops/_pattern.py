"""How sequences, stacks and periods simplify: the rules that the combinators of a trunk share.

A *pattern* is the tuple of nodes that run one after another. Where depth is used up (below a
stack, an every or a repeat) a stack runs once, so there it is nothing but its pattern.
"""

from collections.abc import Iterable, Sequence

from palmette.ops._base import Primitive


def flattened(parts: Iterable[Primitive]) -> tuple[Primitive, ...]:
    """Nested sequences opened up; stacks stay, for they may still repeat."""
    flat: list[Primitive] = []
    for part in parts:
        flat.extend(flattened(part.nodes()) if part.name == "seq" else (part,))
    return tuple(flat)


def run_once(parts: Iterable[Primitive]) -> tuple[Primitive, ...]:
    """Nested sequences and stacks opened up, where depth is used up."""
    flat: list[Primitive] = []
    for part in parts:
        flat.extend(run_once(part.nodes()) if part.name in ("seq", "stack") else (part,))
    return tuple(flat)


def shortest_period(parts: Sequence[Primitive]) -> tuple[Primitive, ...]:
    """The shortest pattern that gives `parts` when it is repeated a whole number of times."""
    parts = tuple(parts)
    for length in range(1, len(parts) + 1):
        if len(parts) % length == 0 and parts[:length] * (len(parts) // length) == parts:
            return parts[:length]
    raise AssertionError("a pattern has at least one part")
