"""Which genomes have seen an exam: those that sat one, and all that came of them.

What a search does after an exam may follow what the exam has said. A genome that descends from an
examined one is therefore examined on sealed tasks that were drawn later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

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
    parents: dict[str, list[str]] = {}
    for candidate in candidates:
        parents.setdefault(candidate.genome, []).extend(candidate.parents)
    order = {genome: place for place, genome in enumerate(parents)}
    places = {genome: order.get(genome, len(order)) for genome in examined}
    nearest = {genome: _nearest(genome, parents, places) for genome in parents}
    return {genome: found for genome, found in nearest.items() if found is not None}


def _nearest(genome: str, parents: dict[str, list[str]], places: dict[str, int]) -> str | None:
    seen, generation = {genome}, [genome]
    while generation:
        if found := [held for held in generation if held in places]:
            return min(found, key=lambda held: (places[held], held))
        generation = _above(generation, parents, seen)
    return None


def _above(generation: Iterable[str], parents: dict[str, list[str]], seen: set[str]) -> list[str]:
    """The parents of a generation that were not met before."""
    met = dict.fromkeys(p for genome in generation for p in parents.get(genome, ()))
    fresh = [parent for parent in met if parent not in seen]
    seen.update(fresh)
    return fresh
