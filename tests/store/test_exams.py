from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from palmette.errors import StorageError
from palmette.store import Store
from palmette.store.exams import ExamRoom
from palmette.testing.example_exams import (
    example_canary,
    example_nulls,
    example_plan,
    example_verdict,
)
from palmette.testing.example_records import example_config

BEGIN = """
import sys, time
from palmette.store import Store
from palmette.store.exams import ExamRoom
from palmette.testing.example_exams import example_plan

def make(number, ledger):
    time.sleep(0.2)  # the other one asks meanwhile
    return example_plan(len(ledger) + 1, (1 / (1 + len(ledger)),))

with Store(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    print(ExamRoom(store).begin(store.campaign("first"), make))
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with a finished exam."""
    url = f"sqlite:///{tmp_path}/palmette.db"
    with Store(url) as store:
        campaign = store.create_campaign(example_config(), draw=True)
        room = ExamRoom(store)
        room.open_draw(campaign, 1)
        number = room.begin(campaign, lambda number, ledger: example_plan())
        room.finish(number, [example_verdict(example_plan().hypotheses[0])], [], example_nulls())
        room.add_canary(number, example_canary())
    return url


def test_two_processes_share_what_may_be_spent(url: str) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = {process.communicate()[0] for process in started}
    assert told == {"2\n", "3\n"}
    with Store(url, create=False) as store:
        ledger = ExamRoom(store).ledger()
    assert [row.hypothesis.alpha for row in ledger] == [0.01, 1 / 2, 1 / 3]


def test_an_exam_can_be_read_without_writing(url: str) -> None:
    with Store(url, create=False) as store:
        room = ExamRoom(store)
        assert room.exam(1).state == "finished"
        assert room.exam(1).nulls == example_nulls()
        assert room.canary(1) == [example_canary()]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ("UPDATE exam SET plan = '{}'", "ExamPlan"),
        ("UPDATE exam SET verdicts = '[{\"p\": 2}]'", "Verdict"),
        ("UPDATE exam SET placebos = 'x'", "Verdict"),
        ("UPDATE exam SET nulls = '[]'", "NullExams"),
        ("UPDATE exam SET state = 'lost'", "StoredExam"),
        ("UPDATE ledger SET hypothesis = '{}'", "Hypothesis"),
        ("UPDATE ledger SET p = 9e999", "LedgerRow"),
        ("UPDATE canary SET record = ''", "CanaryRow"),
    ],
)
def test_damaged_rows_are_told(url: str, tmp_path: Path, change: str, kind: str) -> None:
    connection = sqlite3.connect(tmp_path / "palmette.db")
    connection.execute(change)
    connection.commit()
    connection.close()
    with Store(url, create=False) as store:
        room = ExamRoom(store)
        with pytest.raises(StorageError, match=f"holds an? {kind} that this version cannot read"):
            _ = room.exams(), room.ledger(), room.canary(1)


def test_a_ledger_with_a_gap_is_not_gone_on_with(url: str, tmp_path: Path) -> None:
    with Store(url) as store:
        campaign, room = store.campaign("first"), ExamRoom(store)
        room.begin(campaign, lambda number, ledger: example_plan(2))
        connection = sqlite3.connect(tmp_path / "palmette.db")
        connection.execute("DELETE FROM ledger WHERE number = 1")
        connection.commit()
        connection.close()
        with pytest.raises(StorageError, match="the ledger of this store is damaged"):
            room.begin(campaign, lambda number, ledger: example_plan(3))
        assert len(room.exams()) == 2
