"""ProposerKit: what every proposer promises, as tests to run over the registry.

One that thinks is given a scripted model that answers every role legally.

@pytest.mark.parametrize("name", proposers.names())
@pytest.mark.parametrize("check", ProposerKit.checks())
def test_every_proposer(name, check):
    getattr(ProposerKit(proposers[name]), check)()
"""

from __future__ import annotations

import random
from dataclasses import replace

from palmette.designer.session import Studio
from palmette.grammar.canonical import canonical
from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.grammar.rules import check
from palmette.grammar.sample import sample_genome
from palmette.model import parse
from palmette.model.atlas import load, root
from palmette.ops import language
from palmette.records import Candidate
from palmette.search.archive import Archive, Entry
from palmette.search.proposers import Proposal, Proposer, Turn
from palmette.testing.scripted_designer import scripted_studio


class ProposerKit:
    """The contract of one proposer class; each method that starts with `check_` asserts a part."""

    def __init__(
        self, proposer: type[Proposer], draws: int = 25, studio: Studio | None = None
    ) -> None:
        self.proposer = proposer
        self.draws = draws
        if proposer.thinks and studio is None:
            studio = scripted_studio()
        self.studio = studio

    @classmethod
    def checks(cls) -> list[str]:
        """The names of all checks."""
        return [name for name in vars(cls) if name.startswith("check_")]

    def check_says_what_it_is(self) -> None:
        """A name and a one-line summary."""
        assert self.proposer.name.isidentifier(), self.proposer.name
        assert self.proposer.summary().endswith("."), "the docstring's first line is the summary"

    def check_genomes_are_legal_and_canonical(self) -> None:
        """Every genome is well typed, in canonical form, and prints to a text that parses to it."""
        for proposal in self._proposals(archive(members=9)):
            genome = proposal.genome
            assert not check(genome.root, language()), genome
            assert canonical(genome.root) == genome.root, genome
            assert parse(genome.text) == genome, genome

    def check_edges_are_complete(self) -> None:
        """Parents are there; the edit, its motivation and a sane prediction are given."""
        known = archive(members=9)
        there = {entry.candidate.genome for entry in known.entries}
        for proposal in self._proposals(known):
            assert proposal.parents, "an edge has a parent"
            assert set(proposal.parents) <= there, proposal.parents
            assert proposal.edit, "an edge has an edit"
            assert proposal.edit_text, "an edit says what changed"
            assert len(proposal.motivation) > 20, proposal.motivation
            if proposal.prediction is not None:
                guess = proposal.prediction
                assert guess.low <= guess.change <= guess.high, guess

    def check_is_resumable(self) -> None:
        """A fresh instance with the same archive and generator makes the same proposal."""
        known = archive(members=9)
        once, again = self._proposals(known), self._proposals(known)
        assert once == again, "a proposer keeps no state of its own"

    def check_works_from_the_root_alone(self) -> None:
        """An archive without any result is enough."""
        assert len(self._proposals(archive(members=0))) == self.draws

    def check_results_may_come_in_any_order(self) -> None:
        """Members without a score yet do no harm."""
        known = archive(members=9)
        unscored = tuple(
            replace(entry, score=None) if number % 3 else entry
            for number, entry in enumerate(known.entries)
        )
        assert len(self._proposals(replace(known, entries=unscored))) == self.draws

    def _proposals(self, known: Archive) -> list[Proposal]:
        proposer = self.proposer.make(self.studio)
        return [
            proposer.ask(known, Turn(number % known.islands, random.Random(number), number))
            for number in range(self.draws)
        ]


def archive(members: int, islands: int = 3, seed: int = 0) -> Archive:
    """An archive of the default root and sampled genomes with made-up scores, for tests."""
    spoken: Language = language()
    rng = random.Random(seed)
    first = load(root)
    entries = [Entry(_candidate(first, role="root"), first, 0.5)]
    while len(entries) <= members:
        genome = sample_genome(spoken, rng)
        island = len(entries) % islands
        candidate = _candidate(genome, role="found").model_copy(
            update={"island": island, "edit": "tune", "parents": (first.hash,)}
        )
        if all(genome != entry.genome for entry in entries):
            entries.append(Entry(candidate, genome, rng.gauss(0.5, 0.05)))
    return Archive(tuple(entries), spoken, islands)


def _candidate(genome: Genome, role: str) -> Candidate:
    return Candidate.model_validate(
        {"genome": genome.hash, "expression": genome.text, "role": role}
    )
