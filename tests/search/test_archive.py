import random
from dataclasses import replace

import pytest

from palmette.search.archive import PRIOR_DEVIATION
from palmette.testing.proposer_kit import archive


def test_an_island_lives_from_its_latest_members_and_the_root_at_first():
    young = archive(members=6)
    assert young.living(0)[0].candidate.role == "root"
    old = replace(archive(members=40), capacity=4)
    living = old.living(0)
    assert len(living) == 4
    own = [e for e in old.entries if e.candidate.island == 0]
    assert living == own[-4:]


def test_one_islands_success_does_not_enter_another_but_by_a_graft():
    known = archive(members=30)
    for island in range(known.islands):
        for entry in known.living(island):
            assert entry.candidate.island in (island, None)


def test_a_tournament_prefers_the_better_and_ignores_the_unscored():
    known = archive(members=9)
    members = [replace(e, score=None) for e in known.entries[:3]] + list(known.entries[3:])
    best = max(members[3:], key=lambda e: e.score)
    assert known.tournament(members, len(members), random.Random(0)) == best


def test_predictions_learn_from_earlier_edits_of_the_kind():
    known = archive(members=9)
    first = known.predict("graft")
    assert (first.change, first.observations) == (0.0, 0)
    assert first.high == pytest.approx(1.96 * PRIOR_DEVIATION * 1.5**0.5)
    changes = known.changes("tune")
    assert len(changes) == 9
    later = known.predict("tune")
    assert later.observations == 9
    assert later.change == pytest.approx(sum(changes) / 11)
