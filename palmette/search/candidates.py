"""Candidates as a search makes them: a genome with its figures, its edge, or a placebo's name."""

from __future__ import annotations

from palmette.grammar.genome import Genome
from palmette.model import cost
from palmette.records import Candidate
from palmette.search.novelty import Screen, fingerprint_of
from palmette.search.proposers import Proposal


def describe(genome: Genome, screen: Screen) -> Candidate:
    """A found candidate with its own figures, at the first rung's size, and without an edge."""
    place = screen.fit(genome).place
    figures = cost(genome, place, screen.scale.rungs[0].length)
    return Candidate(
        genome=genome.hash,
        expression=genome.text,
        role="found",
        parameters=figures.parameters,
        flops_forward=figures.flops_forward,
        state_bytes=figures.state_bytes,
        fingerprint=fingerprint_of(genome),
    )


def proposed(
    proposal: Proposal, screen: Screen, number: int, proposer: str, island: int
) -> Candidate:
    """The candidate that a proposal becomes."""
    return describe(proposal.genome, screen).model_copy(
        update={
            "proposal": number,
            "proposer": proposer,
            "island": island,
            "parents": proposal.parents,
            "edit": proposal.edit,
            "edit_text": proposal.edit_text,
            "motivation": proposal.motivation,
            "prediction": proposal.prediction,
        }
    )


def placebo(root: Candidate, number: int, replica: int) -> Candidate:
    """The root once more, as proposal `number`."""
    return root.model_copy(
        update={
            "role": "placebo",
            "replica": replica,
            "name": f"placebo {replica}",
            "proposal": number,
            "parents": (root.genome,),
            "edit": "placebo",
            "edit_text": "placebo: nothing was changed",
            "motivation": "the root again, under another name and other seeds: the noise floor",
        }
    )
