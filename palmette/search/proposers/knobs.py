"""Knobs alone: what a human would get by tuning a design without changing its structure.

Aging evolution (Real et al. 2019, arXiv 1802.01548) whose only edit is `tune`. It starts from the
root and goes on from what it has tuned itself, so whatever it finds is the root with other knobs:
the yardstick that tells a better structure from better settings.
"""

from __future__ import annotations

from palmette.grammar.change import Edited, Kind
from palmette.grammar.edit import edit
from palmette.grammar.genome import Genome
from palmette.search.archive import Archive, Entry
from palmette.search.proposers._base import Proposal, Proposer, Turn

TOURNAMENT = 3
KIND: Kind = "tune"


class Knobs(Proposer):
    """Turns the knobs of the root and of what was tuned from it, and changes nothing else."""

    name = "knobs"

    def ask(self, archive: Archive, turn: Turn) -> Proposal:
        """A child of this island that differs from its parent in a knob."""
        family = _family(archive)
        living = archive.living(turn.island)
        members = [entry for entry in living if entry.candidate.genome in family]
        parent = archive.tournament(members or [archive.root], TOURNAMENT, turn.rng)
        edited = edit(parent.genome.root, archive.language, turn.rng, (KIND,))
        return _proposal(parent, edited, archive, turn.island)


def _family(archive: Archive) -> set[str]:
    """Hashes of the root and of what was made of it by turning knobs alone."""
    found = {archive.root.candidate.genome}
    for entry in archive.entries:
        own = entry.candidate
        if own.edit == KIND and own.parents[0] in found:
            found.add(own.genome)
    return found


def _proposal(parent: Entry, edited: Edited, archive: Archive, island: int) -> Proposal:
    prediction = archive.predict(KIND)
    score = "untried so far" if parent.score is None else f"first-rung score {parent.score:.4f}"
    return Proposal(
        genome=Genome(edited.node),
        parents=(parent.candidate.genome,),
        edit=edited.kind,
        edit_text=edited.text,
        motivation=(
            f"island {island}: {parent.candidate.genome[:8]} ({score}) with another knob, its "
            f"structure as it is; the prediction rests on {prediction.observations} such edits"
        ),
        prediction=prediction,
    )
