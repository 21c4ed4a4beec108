"""The examples in the docstrings of the whole package run and are true."""

import doctest
import importlib
from pathlib import Path

import pytest

import palmette

FOLDER = Path(palmette.__file__).parent
MODULES = sorted(
    ".".join(("palmette", *path.relative_to(FOLDER).with_suffix("").parts)).removesuffix(
        ".__init__"
    )
    for path in FOLDER.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    failed, attempted = doctest.testmod(importlib.import_module(name))
    assert attempted > 0, f"the examples of {name} stand in no docstring"
    assert failed == 0


@pytest.mark.parametrize("floor", ["grammar", "ops", "model", "tasks", "store", "ladder", "search"])
def test_every_floor_has_examples(floor):
    assert any(name.startswith(f"palmette.{floor}.") for name in MODULES)
