from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from palmette.ladder.scales import scale
from palmette.records import Draw
from palmette.search.start import Plan, created, open_campaign, prepare
from palmette.search.status import status_row
from palmette.store import Store

PLAN = Plan(name="mine", scale="seedling", suite="parity", kernel="torch")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path / 'palmette.db'}") as opened:
        yield opened


def test_a_new_search_commits_to_its_sealed_tasks_once(store: Store) -> None:
    ground = prepare(PLAN)
    (drawn,) = open_campaign(store, ground).draws()
    assert isinstance(drawn, Draw)
    assert (drawn.number, drawn.secret) == (1, None)
    again = open_campaign(store, ground)
    assert again.draws() == [drawn]
    row = status_row(again, ground.scale)
    assert row.draw == drawn.commitment
    assert (row.exams, row.verified) == (None, None)  # not zero: a search cannot know


def test_a_search_that_began_without_a_draw_stays_without(store: Store) -> None:
    ground = prepare(PLAN)
    store.create_campaign(ground.config)  # as a version before draws made it
    campaign = open_campaign(store, ground)
    assert campaign.draws() == []
    assert status_row(campaign, ground.scale).draw is None


def test_a_comparison_has_no_exam_to_draw_for(store: Store) -> None:
    assert created(store, prepare(PLAN, scale("seedling"))).draws() == []
