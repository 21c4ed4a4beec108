"""The contract of a store's draws and exams, as tests that any database passes. Needs pytest.

class TestMyDatabase(ExamRoomKit):
    @pytest.fixture
    def url(self) -> str:
        return "…"  # of an empty database, a new one for each test
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator

import pytest

from palmette.errors import PalmetteError, UserError
from palmette.records import ExamPlan, LedgerRow
from palmette.store import Campaign, Store
from palmette.store.exams import ExamRoom
from palmette.testing.example_exams import (
    example_canary,
    example_hypothesis,
    example_nulls,
    example_plan,
    example_verdict,
)
from palmette.testing.example_records import example_config

AT_ONCE = 4  # exams


def planned(*alphas: float, **changes: object) -> Callable[[int, list[LedgerRow]], ExamPlan]:
    """What gives `begin` a plan whose hypotheses go on where the ledger ends."""
    return lambda number, ledger: example_plan(len(ledger) + 1, alphas, **changes)


class ExamRoomKit:
    """Derive from it, name the class `Test…` and give a fixture `url`."""

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        """An empty store."""
        with Store(url) as opened:
            yield opened

    @pytest.fixture
    def campaign(self, store: Store) -> Campaign:
        """A campaign that has a draw."""
        return store.create_campaign(example_config(), draw=True)

    @pytest.fixture
    def room(self, store: Store, campaign: Campaign) -> ExamRoom:
        """The exam room, with the campaign's draw opened."""
        made = ExamRoom(store)
        made.open_draw(campaign, 1)
        return made

    # --- draws ---

    def test_a_draw_is_committed_with_the_campaign(self, store: Store, campaign: Campaign) -> None:
        """Once, however often it is loaded; without being asked for there is none."""
        (drawn,) = campaign.draws()
        assert store.create_campaign(example_config(), draw=True).draws() == [drawn]
        assert (drawn.number, drawn.opened_at, drawn.secret) == (1, None, None)
        assert re.fullmatch(r"[0-9a-f]{64}", drawn.commitment)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", drawn.committed_at)
        assert store.create_campaign(example_config(name="plain")).draws() == []

    def test_what_an_exam_opens_is_what_was_committed(
        self, store: Store, campaign: Campaign
    ) -> None:
        """32 bytes with that SHA-256; the others stay shut, and the first time stays."""
        second = campaign.commit_draw()
        assert (second.number, second.secret) == (2, None)
        opened = ExamRoom(store).open_draw(campaign, 2)
        assert opened.secret is not None
        assert opened.opened_at is not None
        secret = bytes.fromhex(opened.secret)
        assert len(secret) == 32
        assert hashlib.sha256(secret).hexdigest() == second.commitment == opened.commitment
        assert ExamRoom(store).open_draw(campaign, 2) == opened
        assert campaign.draws()[1] == opened
        assert campaign.draws()[0].secret is None

    def test_secrets_are_drawn_anew(self, store: Store, campaign: Campaign) -> None:
        """No two alike."""
        told = {campaign.commit_draw().commitment for _ in range(5)}
        assert len(told) == 5

    def test_a_draw_that_is_not_there_is_not_opened(self, store: Store, campaign: Campaign) -> None:
        """Campaigns of older stores have none."""
        with pytest.raises(UserError, match=r"'first' has no draw 2 of sealed tasks \(it has 1\)"):
            ExamRoom(store).open_draw(campaign, 2)
        older = store.create_campaign(example_config(name="older"))
        with pytest.raises(UserError, match=r"'older' has no draw 1 .*\(it has none\)"):
            ExamRoom(store).open_draw(older, 1)

    # --- exams ---

    def test_an_exam_is_kept_with_what_it_may_spend(
        self, room: ExamRoom, campaign: Campaign
    ) -> None:
        """To the last bit; `make` is told the number and what was spent before."""
        asked: list[tuple[int, int]] = []

        def make(number: int, ledger: list[LedgerRow]) -> ExamPlan:
            asked.append((number, len(ledger)))
            return example_plan(len(ledger) + 1, (1 / 3, 1 / 7))

        assert [room.begin(campaign, make), room.begin(campaign, make)] == [1, 2]
        assert asked == [(1, 0), (2, 2)]
        first, second = room.exams()
        assert first == room.exam(1)
        assert first.plan == example_plan(1, (1 / 3, 1 / 7))
        assert (first.campaign, first.state, first.sitting) == ("first", "running", "exam-1")
        assert (first.verdicts, first.placebos, first.nulls) == ((), (), None)
        assert second.plan.hypotheses[0].number == 3
        rows = room.ledger()
        assert [(row.number, row.exam, row.p, row.verified) for row in rows] == [
            (1, 1, None, None),
            (2, 1, None, None),
            (3, 2, None, None),
            (4, 2, None, None),
        ]
        assert [row.hypothesis for row in rows[2:]] == list(second.plan.hypotheses)

    def test_what_came_of_an_exam_is_kept(self, room: ExamRoom, campaign: Campaign) -> None:
        """Also in the ledger; once."""
        number = room.begin(campaign, planned(0.01, 0.02))
        one, two = room.exam(number).plan.hypotheses
        verdicts = (
            example_verdict(two, verified=False, p=None, kind=None, look=None, text=None),
            example_verdict(one),
        )
        placebos = (example_verdict(example_hypothesis(0, candidate="Quince"), verified=False),)
        room.finish(number, verdicts, placebos, example_nulls())
        held = room.exam(number)
        assert (held.state, held.verdicts, held.placebos) == ("finished", verdicts, placebos)
        assert held.nulls == example_nulls()
        assert [(row.p, row.verified) for row in room.ledger()] == [(1 / 3000, True), (None, False)]
        with pytest.raises(PalmetteError, match="exam 1 is finished; what came of it stays"):
            room.finish(number, verdicts, placebos, None)

    def test_every_hypothesis_wants_a_verdict(self, room: ExamRoom, campaign: Campaign) -> None:
        """What was sent to an exam cannot be dropped."""
        number = room.begin(campaign, planned(0.01, 0.02))
        (one, _) = room.exam(number).plan.hypotheses
        message = r"one verdict for each of the hypotheses \[1, 2\], got verdicts for \[1\]"
        with pytest.raises(PalmetteError, match=message):
            room.finish(number, [example_verdict(one)], [], None)
        assert room.exam(number).state == "running"

    def test_an_exam_is_begun_whole_or_not_at_all(self, room: ExamRoom, campaign: Campaign) -> None:
        """Nothing is spent by one that could not be planned."""

        def make(number: int, ledger: list[LedgerRow]) -> ExamPlan:
            raise UserError("too few seeds")

        with pytest.raises(UserError, match="too few seeds"):
            room.begin(campaign, make)
        with pytest.raises(PalmetteError, match=r"goes on with the hypotheses \[1\], got \[7\]"):
            room.begin(campaign, lambda number, ledger: example_plan(7))
        with pytest.raises(PalmetteError, match="'first' was given a plan for 'second'"):
            room.begin(campaign, planned(0.01, campaign="second"))
        campaign.commit_draw()
        for draw in (2, 3):
            with pytest.raises(PalmetteError, match=f"draw {draw} of campaign 'first' was not"):
                room.begin(campaign, planned(0.01, draw=draw))
        assert (room.exams(), room.ledger()) == ([], [])

    def test_exams_at_once_spend_no_alpha_twice(self, url: str, room: ExamRoom) -> None:
        """Each of several writers sees what all before it have spent."""
        together = threading.Barrier(AT_ONCE, timeout=60)
        seen: list[int] = []

        def begin() -> None:
            with Store(url) as own:
                together.wait()
                ExamRoom(own).begin(own.campaign("first"), make)

        def make(number: int, ledger: list[LedgerRow]) -> ExamPlan:
            seen.append(len(ledger))
            return example_plan(len(ledger) + 1, (0.01, 0.01))

        threads = [threading.Thread(target=begin) for _ in range(AT_ONCE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [0, 2, 4, 6]
        assert [row.number for row in room.ledger()] == list(range(1, 2 * AT_ONCE + 1))

    def test_a_sitting_takes_no_name_that_is_taken(
        self, store: Store, room: ExamRoom, campaign: Campaign
    ) -> None:
        """Somebody's search may be called exam-1."""
        store.create_campaign(example_config(name="exam-1"))
        assert room.begin(campaign, planned(0.01)) == 2
        assert room.exam(2).sitting == "exam-2"

    def test_exams_are_told_apart_by_their_campaigns(
        self, store: Store, room: ExamRoom, campaign: Campaign
    ) -> None:
        """The ledger is the whole store's."""
        other = store.create_campaign(example_config(name="second"), draw=True)
        room.open_draw(other, 1)
        room.begin(other, planned(0.01, campaign="second"))
        room.begin(campaign, planned(0.02))
        assert [exam.number for exam in room.exams(campaign)] == [2]
        assert [exam.campaign for exam in room.exams()] == ["second", "first"]
        assert [row.exam for row in room.ledger()] == [1, 2]

    def test_an_exam_that_is_not_there_is_told(self, room: ExamRoom, campaign: Campaign) -> None:
        """With those that are."""
        with pytest.raises(UserError, match="holds no exam yet; run `palmette verify` first"):
            room.exam(1)
        for _ in range(2):
            room.begin(campaign, planned(0.01))
        for read in (room.exam, room.canary):
            with pytest.raises(UserError, match="holds no exam 7; it holds 1, 2"):
                read(7)

    # --- canaries ---

    def test_canaries_come_back_as_they_went_in(self, room: ExamRoom, campaign: Campaign) -> None:
        """By label and seed, of their own exam; the first figures stay."""
        for _ in range(2):
            room.begin(campaign, planned(0.01))
        given = [example_canary("gpt2"), example_canary(seed=4), example_canary(seed=3)]
        for row in [*given, given[0]]:
            room.add_canary(1, row)
        assert room.canary(1) == [given[2], given[1], given[0]]
        assert room.canary(2) == []
        with pytest.raises(PalmetteError, match=r"canary of 'gpt2' with seed .* the first ones"):
            room.add_canary(1, example_canary("gpt2", fresh=0.5))

    # --- kinds of campaigns ---

    def test_an_exam_is_not_the_latest_search(self, store: Store, campaign: Campaign) -> None:
        """Nor is what was tuned for it; each kind can be listed."""
        kinds = ("compare", "tune", "exam")
        for kind in kinds:
            store.create_campaign(example_config(name=kind, kind=kind))
        assert store.latest().config.name == "first"
        assert store.campaigns() == ["first", *kinds]
        assert [store.campaigns(kind) for kind in ("grow", "exam")] == [["first"], ["exam"]]
