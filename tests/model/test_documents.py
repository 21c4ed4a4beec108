"""The examples in the docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

import palmette.model
import palmette.ops

MODULES = ["palmette"] + [
    info.name
    for package in (palmette.model, palmette.ops)
    for info in pkgutil.iter_modules(package.__path__, prefix=f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    found = [doctest.testmod(importlib.import_module(name)).attempted for name in MODULES]
    assert sum(found) >= 20
