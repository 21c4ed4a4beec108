"""What a model's file may not say is told by its line, and nothing of it runs."""

import pytest

from palmette.model.stranger.restraint import unrestrained
from palmette.model.stranger.source import Source, StrangerError

HEAD = "import torch\nfrom torch import nn\nimport torch.nn.functional as F\n"


def said(text):
    return unrestrained(Source("idea_3.py", text))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("import os, palmette", "imports os and palmette; it may import torch, math, typing,"),
        ("from . import layers", "imports .; it may import"),
        ("from palmette.gates import _check", "imports palmette; it may import"),
        ("from torch import hub", "imports torch.hub; a layer may only compute"),
        ("from torch.hub import *", "imports torch.hub.*; a layer may only compute"),
        ("import torch.utils.cpp_extension", "imports torch.utils.cpp_extension; a layer may"),
        ("open('/etc/passwd')", "uses open; a layer may only compute"),
        ("__import__('json')", "uses __import__; a layer may only compute"),
        ("eval('1')", "uses eval; a layer may only compute"),
        ("torch.sys.exit()", "reaches for torch.sys; a layer may only compute"),
        ("alias = torch; alias.os.fork()", "reaches for alias.os; a layer may only compute"),
        ("self.t.os.fork()", "reaches for self.t.os; a layer may only compute"),
        ("F._verify_batch_size", "reaches for F._verify_batch_size; a layer may only compute"),
        ("torch.load('best.pt')", "reaches for torch.load; a layer may only compute"),
        ("F.cross_entropy = lambda *a: 0", "replaces F.cross_entropy; a layer changes nothing"),
        ("del nn.Linear", "replaces nn.Linear; a layer changes nothing but itself"),
        ("().__class__.__bases__", "uses __bases__; a layer may only compute"),
    ],
)
def test_what_reaches_out_is_told_by_its_line(line, fault):
    (told,) = said(HEAD + line)
    assert told.startswith(f"idea_3.py line 4 ({line}) {fault}")


def test_all_of_it_is_told_in_the_order_of_the_file():
    told = said(HEAD + "open('a')\nimport socket\nexec('b')")
    assert [fault.split(" (")[0] for fault in told] == [
        "idea_3.py line 4", "idea_3.py line 5", "idea_3.py line 6",
    ]  # fmt: skip


def test_what_a_layer_needs_is_left_alone():
    assert said(
        "from __future__ import annotations\n" + HEAD + "from typing import Any\nimport math\n"
        "class Layer(nn.Module):\n"
        "    def __init__(self, width):\n"
        "        super().__init__()\n"
        "        self.map = nn.Linear(width, width)\n"
        "        self._scale = math.sqrt(width)\n"
        "        self.gc = nn.Linear(width, width)\n"
        "        nn.init.zeros_(self.map.bias)\n"
        "    def forward(self, x):\n"
        "        with torch.no_grad():\n"
        "            size = x.detach().select(1, 0).std()\n"
        "        return F.silu(self.map(x)) / self._scale + 0 * size\n"
    ) == []  # fmt: skip


def test_a_long_chain_is_told():
    (told,) = said(HEAD + "torch" + ".a" * 900 + ".sys")
    assert "reaches for torch.a.a.a" in told


@pytest.mark.parametrize(
    "text", ["def f(:", "x = 'a\0'", "-" * 60_000 + "1", "a" + ".a" * 30_000, "x = '\ud800'"]
)
def test_what_is_no_python_is_refused(text):
    with pytest.raises(StrangerError, match=r"idea_3\.py.* is not Python"):
        said(text)
