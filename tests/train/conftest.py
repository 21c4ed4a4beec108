import pytest
from tiny import Sentences


@pytest.fixture(scope="session")
def sentences():
    return Sentences()
