import shutil

import pytest

from palmette.store import Store
from tests.exam.held import grown


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """A corpus of 300 kB."""
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(60):
        lines = (
            f"document {number} says {n * n * (number + 3)} in its line {n}" for n in range(130)
        )
        (folder / f"{number}.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="session")
def _grown(tmp_path_factory):
    path = tmp_path_factory.mktemp("grown") / "p.db"
    with Store(f"sqlite:///{path}") as store:
        grown(store)
    return path


@pytest.fixture
def path(_grown, tmp_path):
    """A store with the grown campaign `main`, for one test alone."""
    return shutil.copy(_grown, tmp_path / "p.db")
