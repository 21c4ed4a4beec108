from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from palmette.errors import StorageError
from palmette.store import Store
from palmette.testing.example_records import example_config, example_hash

READER = """
import sys, time
from palmette.store import Store
reader = Store(sys.argv[1], create=False)
with reader._database.reading() as connection:
    connection.exec_driver_sql("SELECT count(*) FROM campaign").scalar()
    print("reading", flush=True)
    sys.stdin.readline()
"""


def test_weights_lie_beside_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Store("sqlite:///palmette.db") as store:
        campaign = store.create_campaign(example_config())
    monkeypatch.chdir("/")
    assert campaign.weights_directory == tmp_path / "palmette.db.weights" / "first"
    assert not campaign.weights_directory.exists()


def test_a_corpus_that_was_moved_is_the_same_corpus(tmp_path: Path) -> None:
    """Its digest is in the suite's; and a root is its text, whatever its file is called."""
    with Store(f"sqlite:///{tmp_path}/palmette.db") as store:
        first = store.create_campaign(example_config())
        moved = example_config(corpus="/somewhere/else", root_name="mine")
        assert store.create_campaign(moved).config == first.config


def test_digests_are_shortened_where_they_differ(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path}/palmette.db") as store:
        store.create_campaign(example_config())
        old, new = example_hash("suite"), example_hash("another corpus")
        with pytest.raises(StorageError) as refused:
            store.create_campaign(example_config(suite_digest=new))
    line = f"  suite_digest: it has {old[:12]}…, this command says {new[:12]}…"
    assert line in str(refused.value).splitlines()


def test_a_reader_in_another_process_does_not_stop_the_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/palmette.db"
    with Store(url, timeout_seconds=0.0) as store:  # the writer would fail rather than wait
        campaign = store.create_campaign(example_config())
        with subprocess.Popen(
            [sys.executable, "-c", READER, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        ) as reader:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "reading\n"
            campaign.set_elapsed(12.5)
            reader.communicate("done\n")
        assert campaign.elapsed_seconds == 12.5


def test_several_processes_may_open_a_new_store_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/palmette.db"
    script = "import sys; from palmette.store import Store; Store(sys.argv[1]).campaigns()"
    openers = [subprocess.Popen([sys.executable, "-c", script, url]) for _ in range(3)]
    assert [opener.wait() for opener in openers] == [0, 0, 0]


def test_a_store_exists_once_it_was_made(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/palmette.db"
    assert not Store.exists(url)
    Store(url).close()
    assert Store.exists(url)
    assert Store.exists("postgresql://localhost/palmette")  # only asking its server would tell
    with pytest.raises(StorageError, match="is not a storage URL"):
        Store.exists("palmette.db")
