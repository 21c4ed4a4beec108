"""Files of strangers, for the tests: larger ones from tests/strangers, small ones written here."""

from pathlib import Path

from palmette.model.stranger.describe import describe
from palmette.model.stranger.source import Source, StrangerError

FOLDER = Path(__file__).parents[2] / "strangers"
VOCABULARY = 272

HEAD = "import torch\nfrom torch import nn\n"


def text(name):
    return (FOLDER / f"{name}.txt").read_text("utf-8")


def layer(
    arguments="d_model", body="self.map = nn.Linear(d_model, d_model)", forward="self.map(x)"
):
    """A file with one small layer, `Layer`, whose constructor stands in line 4."""
    return (
        f"{HEAD}class Layer(nn.Module):\n"
        f"    def __init__(self, {arguments}):\n"
        "        super().__init__()\n"
        f"        {body}\n"
        "    def forward(self, x):\n"
        f"        return {forward}\n"
    )


def described(source, cls=None, file="layer.py", beside=(), **given):
    return describe(Source(file, source, frozenset(beside)), cls, given, VOCABULARY)


def faults(source, cls=None, file="layer.py", beside=(), **given):
    """What is said to be wrong with a file."""
    try:
        described(source, cls, file, beside, **given)
    except StrangerError as error:
        return list(error.faults)
    return []
