import pytest
from tiny import Sentences


@pytest.fixture(scope="session")
def sentences():
    return Sentences()


@pytest.fixture(scope="session", autouse=True)
def drawn(tmp_path_factory):
    """Keeps what trials draw out of the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PALMETTE_DRAWN", str(tmp_path_factory.mktemp("drawn")))
        yield
