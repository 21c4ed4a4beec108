"""Random genomes: the arm that every other proposer has to beat at equal compute."""

from __future__ import annotations

from palmette.grammar.sample import sample_genome
from palmette.search.archive import Archive
from palmette.search.proposers._base import Proposal, Proposer, Turn


class Random(Proposer):
    """Draws a legal genome from the grammar, whatever has been learned."""

    name = "random"

    def ask(self, archive: Archive, turn: Turn) -> Proposal:
        """A fresh sample. It hangs below the root in the tree, but nothing of the root is in it."""
        model = type(archive.root.genome.root)
        genome = sample_genome(archive.language, turn.rng, model=model)
        return Proposal(
            genome=genome,
            parents=(archive.root.candidate.genome,),
            edit="sample",
            edit_text="sample: a whole new genome",
            motivation="drawn from the grammar without looking at any result: the control arm",
            prediction=archive.predict("sample"),
        )
