"""The gate of docs/adding.md keeps the contract of the kit."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from palmette.testing.gate_kit import CHECKS, WIDTH, GateKit, layer

DOCUMENT = Path(__file__).parents[2] / "docs" / "adding.md"


class DividesByItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(WIDTH))

    def forward(self, x):
        return self.scale / x


@pytest.fixture(scope="module")
def silence(tmp_path_factory):
    codes = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (code,) = [code for code in codes if "class Silence" in code]
    path = tmp_path_factory.mktemp("added") / "silence.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location("silence", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["silence"] = module
    spec.loader.exec_module(module)
    yield module.Silence
    del sys.modules["silence"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_documented_gate_keeps_the_contract(silence, check):
    check(GateKit(silence, cheaters=[layer(DividesByItsInput)]))
