import random

import pytest

from palmette.model import parse
from palmette.search.proposers import Proposal, Proposer, Turn, proposers
from palmette.testing.proposer_kit import ProposerKit


@pytest.mark.parametrize("name", proposers.names())
@pytest.mark.parametrize("check", ProposerKit.checks())
def test_every_proposer(name, check):
    cls = proposers[name]
    getattr(ProposerKit(cls, draws=4 if cls.thinks else 25), check)()  # designers take longer


class Forgetful(Proposer):
    """Remembers what it should not."""

    name = "forgetful"
    asked = 0

    def ask(self, archive, turn):
        Forgetful.asked += 1
        width = Forgetful.asked % 3 + 2
        genome = parse(f"repeat({width}, pre(mlp()))")
        return Proposal(genome, ("nobody",), "", "", "because", None)


@pytest.mark.parametrize("check", ["check_edges_are_complete", "check_is_resumable"])
def test_the_kit_can_fail(check):
    with pytest.raises(AssertionError):
        getattr(ProposerKit(Forgetful), check)()


def test_evolution_edits_the_islands_own_members_and_grafts_from_others():
    from palmette.testing.proposer_kit import archive

    known = archive(members=30)
    kinds = set()
    for number in range(60):
        proposal = proposers["evolution"]().ask(known, Turn(1, random.Random(number)))
        own = {e.candidate.genome for e in known.living(1)}
        assert proposal.parents[0] in own
        kinds.add(proposal.edit)
        if proposal.edit == "graft":
            donor = next(e for e in known.entries if e.candidate.genome == proposal.parents[1])
            assert donor.candidate.island != 1
    assert {"graft", "tune"} <= kinds
