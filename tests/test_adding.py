"""The example of docs/adding.md is a primitive that keeps the contract."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from palmette.grammar.language import Language
from palmette.grammar.sample import sample_genome
from palmette.ops import primitives
from palmette.testing.primitive_kit import CHECKS, PrimitiveKit

DOCUMENT = Path(__file__).parents[1] / "docs" / "adding.md"


@pytest.fixture(scope="module")
def shift(tmp_path_factory):
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert code
    path = tmp_path_factory.mktemp("added") / "shift.py"
    path.write_text(code[1])
    spec = importlib.util.spec_from_file_location("shift", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["shift"] = module
    spec.loader.exec_module(module)
    yield module.Shift
    del sys.modules["shift"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_documented_primitive_keeps_the_contract(shift, check):
    check(PrimitiveKit(shift, Language((*primitives, shift)), samples=3))


def test_sampling_finds_it(shift):
    import random

    language = Language((*primitives, shift))
    texts = [str(sample_genome(language, random.Random(n))) for n in range(60)]
    assert any("shift(" in text for text in texts)
