import random
from pathlib import Path

import pytest

from palmette.tasks import Corpus, load_corpus

WORDS = ("palm", "frond", "trellis", "espalier", "graft", "scion", "prune", "root", "leaf", "bud")


def prose(seed: int, size: int) -> str:
    """Random sentences of about `size` characters, different for every seed."""
    draw = random.Random(seed)
    words = [f"{draw.choice(WORDS)}{draw.randrange(1000)}" for _ in range(size // 8)]
    return "\n".join(" ".join(words[i : i + 9]) for i in range(0, len(words), 9)) + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of 120 text files, 300 kB together."""
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(120):
        (folder / f"{number:03d}.txt").write_text(prose(number, 2500))
    return folder


@pytest.fixture
def corpus(folder: Path, tmp_path: Path) -> Corpus:
    return load_corpus(folder, cache=tmp_path / "cache")
