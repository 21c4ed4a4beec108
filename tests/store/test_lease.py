from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import update

from palmette.errors import StorageError
from palmette.store import Campaign, Store
from palmette.store.lease import STALE_SECONDS
from palmette.store.schema import LeaseTable
from palmette.testing.example_records import example_candidate, example_config

SCRIPT = """
import os, signal, sys
from palmette.store import Store
from palmette.testing.example_records import *
campaign = Store(sys.argv[1]).create_campaign(example_config())
specs = [example_trial_spec(seed=seed) for seed in range(3)]
with campaign.lease("palmette grow"):
    campaign.propose(example_candidate(), specs, [])
    campaign.start(1, 0.0)
    campaign.finish(1, example_result(), 1.0)
    campaign.start(2, 1.0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'palmette.db'}"


@pytest.fixture
def campaign(url: str) -> Iterator[Campaign]:
    with Store(url) as store:
        yield store.create_campaign(example_config())


def disturb(campaign: Campaign, **values: object) -> None:
    with campaign._database.writing() as connection:
        connection.execute(update(LeaseTable).values(**values))


def test_after_a_kill_nothing_finished_is_lost(url: str) -> None:
    killed = subprocess.Popen([sys.executable, "-c", textwrap.dedent(SCRIPT), url])
    process = psutil.Process(killed.pid)
    deadline = time.monotonic() + 60
    while process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
        time.sleep(0.02)  # not waited for: the dead process stays a zombie
    with Store(url) as store:
        campaign = store.create_campaign(example_config())
        assert campaign.holder is None
        with campaign.lease("palmette grow"):
            assert campaign.requeue_running() == [2]
        assert [trial.state for trial in campaign.trials()] == ["done", "queued", "queued"]
    assert killed.wait() == -signal.SIGKILL


def test_a_process_that_ended_holds_nothing(campaign: Campaign) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with campaign.lease("first"):
        disturb(campaign, pid=gone.pid)
        assert campaign.holder is None


def test_a_later_process_with_the_same_number_holds_nothing(campaign: Campaign) -> None:
    with campaign.lease("first"):
        disturb(campaign, process_started=time.time() - 3600.0)
        assert campaign.holder is None


def test_another_host_is_believed_for_a_minute(campaign: Campaign) -> None:
    with campaign.lease("first"):
        disturb(campaign, host="quince", pid=1)
        with (
            pytest.raises(StorageError, match="grown by process 1 on quince"),
            campaign.lease("second"),
        ):
            pytest.fail("two processes had the lease")
        disturb(campaign, heartbeat=time.time() - STALE_SECONDS - 1)
        assert campaign.holder is None


def test_a_holder_that_lost_its_lease_cannot_write(url: str, campaign: Campaign) -> None:
    with Store(url) as other_store, campaign.lease("first") as lease:
        disturb(campaign, heartbeat=time.time() - STALE_SECONDS - 1)
        other = other_store.campaign("first")
        with other.lease("second"):
            message = f"'first' was taken over by process {os.getpid()} on"
            with pytest.raises(StorageError, match=message):
                campaign.add_candidate(example_candidate())
            with pytest.raises(StorageError, match=message):
                lease.beat()
            other.add_candidate(example_candidate())
    assert campaign.candidates() == [example_candidate()]


def test_a_beat_renews_the_lease(campaign: Campaign) -> None:
    with campaign.lease("first") as lease:
        disturb(campaign, heartbeat=time.time() - STALE_SECONDS + 20)
        assert campaign.holder is not None
        before = campaign.holder.heartbeat
        lease.beat()
        assert campaign.holder.heartbeat > before + STALE_SECONDS / 2


def test_a_lease_is_released_after_an_error(campaign: Campaign) -> None:
    with pytest.raises(KeyError), campaign.lease("first"):
        raise KeyError
    assert campaign.holder is None
