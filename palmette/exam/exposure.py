"""Which genomes have seen an exam: those that sat one, and all that came of them.

What a search does after an exam may follow what the exam has said. A genome that descends from an
examined one is therefore examined on sealed tasks that were drawn later.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from palmette.records import Candidate


def exposed(candidates: Sequence[Candidate], examined: Collection[str]) -> dict[str, str]:
    """Of the candidates, those that are or descend from an examined genome, by hash, each with
    that ancestor: the nearest, of several as near the one that was proposed first.

    Any parent counts, and any parent's parent, also of what was proposed before the exam: nobody
    can tell what the search would have done without it.

    >>> from palmette.records import Candidate
    >>> def made(name, *parents):
    ...     return Candidate(genome=name, expression="", role="found", parents=parents)
    >>> exposed([made("a"), made("b", "a"), made("c", "b", "d"), made("d")], {"a"})
    {'a': 'a', 'b': 'a', 'c': 'a'}
    """
    children: dict[str, list[str]] = {}
    for candidate in candidates:
        for parent in candidate.parents:
            children.setdefault(parent, []).append(candidate.genome)
    order: dict[str, int] = {}
    for candidate in candidates:
        order.setdefault(candidate.genome, len(order))

    def earlier(ancestor: str) -> tuple[int, str]:
        return order.get(ancestor, len(order)), ancestor

    nearest = {genome: genome for genome in examined}
    generation = nearest
    while generation:
        below: dict[str, str] = {}
        for genome, ancestor in generation.items():
            for child in children.get(genome, ()):
                if child not in nearest:
                    below[child] = min(below.get(child, ancestor), ancestor, key=earlier)
        nearest |= below
        generation = below
    return {genome: nearest[genome] for genome in order if genome in nearest}
