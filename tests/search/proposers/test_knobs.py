import random
from dataclasses import replace

from palmette.search.archive import Entry
from palmette.search.proposers import Turn, proposers
from palmette.testing.proposer_kit import _candidate, archive


def shape(genome):
    return [type(node).__name__ for _, node in genome.root.walk()]


def asked(known, number, island=0):
    return proposers["knobs"]().ask(known, Turn(island, random.Random(number), number))


def test_structure_stays_whatever_is_tuned_again_and_again():
    known = archive(members=0)
    root = known.root.genome
    for number in range(20):
        proposal = asked(known, number)
        assert proposal.edit == "tune"
        assert shape(proposal.genome) == shape(root)
        assert proposal.genome.hash not in {e.candidate.genome for e in known.entries[:1]}
        child = _candidate(proposal.genome, "found").model_copy(
            update={"island": 0, "edit": "tune", "parents": proposal.parents}
        )
        entry = Entry(child, proposal.genome, 0.5 + number / 100)
        known = replace(known, entries=(*known.entries, entry))
    parents = {asked(known, number).parents[0] for number in range(20)}
    assert root.hash not in parents, "it goes on from what it has tuned"


def test_what_others_have_made_is_no_parent():
    known = archive(members=30)
    foreign = [
        replace(e, candidate=e.candidate.model_copy(update={"edit": "replace"}))
        for e in known.entries
        if e.candidate.role == "found"
    ]
    known = replace(known, entries=(known.root, *foreign))
    parents = {asked(known, number, number % 3).parents for number in range(20)}
    assert parents == {(known.root.candidate.genome,)}
