from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from palmette.errors import StorageError, UnknownNameError
from palmette.records import Event
from palmette.store import Campaign, Store
from palmette.store.dump import dump, load
from palmette.store.exams import ExamRoom
from palmette.testing.example_exams import (
    example_canary,
    example_nulls,
    example_plan,
    example_verdict,
)
from palmette.testing.example_records import (
    example_candidate,
    example_config,
    example_result,
    example_trial_spec,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/palmette.db") as opened:
        yield opened


def filled(campaign: Campaign) -> Campaign:
    campaign.propose(
        example_candidate(),
        [example_trial_spec(seed=seed) for seed in (1, 2)],
        [Event(seconds=0.5, kind="begun", detail={"why": "ß"})],
    )
    campaign.start(1, 1.0)
    campaign.finish(1, example_result(bits=1 / 3), 2.0)
    campaign.set_budget("60genomes")
    campaign.set_elapsed(0.1 + 0.2)
    return campaign


def examined(store: Store) -> Campaign:
    """A campaign with a finished exam and a second draw that is shut."""
    campaign = filled(store.create_campaign(example_config(), draw=True))
    campaign.commit_draw()
    room = ExamRoom(store)
    room.open_draw(campaign, 1)
    number = room.begin(campaign, lambda number, ledger: example_plan())
    filled(store.create_campaign(example_config(name="exam-1", kind="exam")))
    room.finish(number, [example_verdict(example_plan().hypotheses[0])], [], example_nulls())
    room.add_canary(number, example_canary())
    return campaign


def test_a_dump_holds_all_that_a_store_does(store: Store) -> None:
    campaign = examined(store)
    held = load(dump(store, "first"))
    own = held.campaign
    assert (own.config, own.state, own.budget) == (example_config(), "stopped", "60genomes")
    assert own.elapsed_seconds == 0.1 + 0.2
    assert list(own.candidates) == campaign.candidates()
    assert list(own.trials) == campaign.trials()
    assert own.trials[0].result == example_result(bits=1 / 3)
    assert list(own.events) == campaign.events()
    assert list(own.draws) == campaign.draws()
    room = ExamRoom(store)
    (exam,) = held.exams
    assert (exam.exam, list(exam.canary)) == (room.exam(1), room.canary(1))
    assert exam.sitting is not None
    assert list(exam.sitting.trials) == store.campaign("exam-1").trials()
    assert list(held.ledger) == room.ledger()
    assert held.ledger[0].verified is True


def test_the_same_campaign_is_the_same_bytes(store: Store) -> None:
    examined(store)
    first = dump(store, "first")
    assert dump(store, "first") == first
    assert first[3:8] == bytes(5)  # the head: no name, no time
    store.campaign("first").set_elapsed(9.0)
    assert dump(store, "first") != first


def test_curves_may_be_left_out(store: Store) -> None:
    campaign = examined(store)
    held = load(dump(store, "first", curves=False))
    assert (held.curves, load(dump(store, "first")).curves) == (False, True)
    (exam,) = held.exams
    assert exam.sitting is not None
    wanted = example_result(bits=1 / 3).model_copy(update={"curve": ()})
    for own in (held.campaign, exam.sitting):
        assert [trial.result for trial in own.trials] == [wanted, None]
    assert campaign.trials()[0].result == example_result(bits=1 / 3)


def test_a_dump_tells_no_secret_that_is_shut(store: Store) -> None:
    campaign = examined(store)
    text = gzip.decompress(dump(store, "first")).decode()
    first, second = campaign.draws()
    assert first.secret is not None
    assert first.secret in text
    assert second.commitment in text
    shut = ExamRoom(store).open_draw(campaign, 2).secret
    assert shut is not None
    assert shut not in text


def test_a_campaign_without_exams_needs_none(store: Store) -> None:
    store.create_campaign(example_config())
    examined_elsewhere = store.create_campaign(example_config(name="second"), draw=True)
    room = ExamRoom(store)
    room.open_draw(examined_elsewhere, 1)
    room.begin(examined_elsewhere, lambda number, ledger: example_plan(campaign="second"))
    held = load(dump(store, "first"))
    assert (held.exams, held.ledger, held.campaign.draws) == ((), (), ())
    (begun,) = load(dump(store, "second")).exams
    assert begun.sitting is None  # killed before its first trial


def test_an_unknown_campaign_is_told(store: Store) -> None:
    store.create_campaign(example_config())
    with pytest.raises(UnknownNameError, match="did you mean 'first'"):
        dump(store, "frist")


@pytest.mark.parametrize("what", ["cut", "other", "json", "fields", "empty"])
def test_a_damaged_dump_is_told(store: Store, what: str) -> None:
    store.create_campaign(example_config())
    whole = dump(store, "first")
    newer = {**json.loads(gzip.decompress(whole)), "format": 2}
    damaged = {
        "cut": whole[: len(whole) // 2],
        "other": b"a page",
        "json": gzip.compress(b"{"),
        "fields": gzip.compress(json.dumps(newer).encode()),
        "empty": b"",
    }
    with pytest.raises(StorageError, match="no campaign that palmette has written, or it is dam"):
        load(damaged[what])
