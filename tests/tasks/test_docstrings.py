"""The examples in the docstrings of this floor run and are true."""

import doctest
import importlib

import pytest

MODULES = ("_base", "_documents", "_suites", "copying", "parity", "recall")


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"palmette.tasks.{name}")
    failed, attempted = doctest.testmod(module)
    assert attempted > 0
    assert failed == 0
