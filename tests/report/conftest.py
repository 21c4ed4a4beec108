"""One made-up campaign for all tests of the report."""

import pytest

from palmette.report import ReportData
from tests.report.make_example import example


@pytest.fixture(scope="session")
def data() -> ReportData:
    return example()
