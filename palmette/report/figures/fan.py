"""Where the nodes of a search tree stand: a fan, as an espaliered palmette is trained.

The root stands at the origin, each generation on an arc around it. A subtree gets an angle in
proportion to its leaves, so that branches never cross (after Reingold and Tilford 1981, in polar
coordinates). Parents stand over the middle of their children.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
Point = tuple[float, float]

LEFT = math.radians(174)
RIGHT = math.radians(6)
INNERMOST = 0.34  # radius of the first generation; the last one's is 1


def fan(parents: Mapping[K, K | None], root: K) -> dict[K, tuple[float, float]]:
    """The polar place (radius, angle in radians) of every node, siblings in the mapping's order.

    A node whose parent is None, unknown or not connected to the root is placed as if it were the
    root's child. The root's own radius is 0.

    >>> fan({"root": None, "only": "root"}, "root")["only"]
    (1.0, 1.5707963267948966)
    """
    children = _children(parents, root)
    generation = {root: 0}
    order = [root]
    for node in order:
        for kid in children[node]:
            generation[kid] = generation[node] + 1
            order.append(kid)
    leaves: dict[K, int] = {}
    for node in reversed(order):
        leaves[node] = sum(leaves[kid] for kid in children[node]) or 1
    starts = {root: 0.0}
    angles: dict[K, float] = {}
    share = (LEFT - RIGHT) / leaves[root]
    for node in order:
        start = starts[node]
        angles[node] = LEFT - share * (start + leaves[node] / 2)
        for kid in children[node]:
            starts[kid] = start
            start += leaves[kid]
    last = max(generation.values())
    return {node: (_radius(generation[node], last), angles[node]) for node in order}


def point(radius: float, angle: float) -> Point:
    """A polar place on the plane."""
    return radius * math.cos(angle), radius * math.sin(angle)


def branch(start: tuple[float, float], end: tuple[float, float], steps: int = 16) -> list[Point]:
    """A branch from one polar place to another: out along the start's ray, then bending over."""
    if start[0] == 0:
        start = (0.0, end[1])
    way = [step / steps for step in range(steps + 1)]
    return [
        point(
            start[0] + (end[0] - start[0]) * s,
            start[1] + (end[1] - start[1]) * s * s * (3 - 2 * s),
        )
        for s in way
    ]


def _radius(generation: int, last: int) -> float:
    if generation == 0:
        return 0.0
    if last == 1:
        return 1.0
    return INNERMOST + (1 - INNERMOST) * (generation - 1) / (last - 1)


def _children(parents: Mapping[K, K | None], root: K) -> dict[K, Sequence[K]]:
    children: dict[K, list[K]] = {node: [] for node in parents}
    for node, parent in parents.items():
        if node != root:
            home = parent if parent in children and _connected(node, parents, root) else root
            assert home is not None
            children[home].append(node)
    return {node: tuple(kids) for node, kids in children.items()}


def _connected(node: K, parents: Mapping[K, K | None], root: K) -> bool:
    seen: set[K] = set()
    at: K | None = node
    while at is not None and at not in seen:
        if at == root:
            return True
        seen.add(at)
        at = parents.get(at)
    return False
