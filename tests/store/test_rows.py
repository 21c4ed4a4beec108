import sqlite3
from pathlib import Path

import pytest

from palmette.errors import StorageError
from palmette.store import Store
from palmette.testing.example_records import example_config


def test_a_record_of_another_version_is_told(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/palmette.db"
    with Store(url) as store:
        store.create_campaign(example_config())
    connection = sqlite3.connect(tmp_path / "palmette.db")
    connection.execute('UPDATE campaign SET config = \'{"name": "first", "depth": 3}\'')
    connection.commit()
    connection.close()
    with Store(url, create=False) as store:
        for read in (store.latest, lambda: store.campaign("first")):
            with pytest.raises(StorageError) as refused:
                read()
            said = str(refused.value)
            assert "the store holds a CampaignConfig that this version cannot read" in said
            assert "scale (field required)" in said
            assert "use the palmette that wrote it" in said
