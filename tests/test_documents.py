"""What the documents say is so: the README's Python runs, the reference pages are complete."""

import importlib.util
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from palmette.cli import Commands, app
from palmette.cli._resolve import resolve

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = Commands().list_commands(None)


def reference():
    spec = importlib.util.spec_from_file_location("reference", ROOT / "scripts" / "reference.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_readmes_python_runs():
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(block, names)
    assert abs(sum(p.numel() for p in names["model"].parameters()) / 200_000 - 1) < 0.02


def test_the_readmes_commands_and_files_are_there():
    blocks = "".join(re.findall(r"```\n(.*?)```", README, re.DOTALL))
    names = set(re.findall(r"palmette (\w+)", blocks))
    assert names
    assert names <= set(COMMANDS)
    for target in re.findall(r"\]\(([\w/.]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readmes_genomes_parse(tmp_path):
    wanted = r"`(stack\(.*?)`|\"((?:stack|every)\(.*?)\"|^(lm\(.*\))(?:  |$)"
    genomes = ["".join(found) for found in re.findall(wanted, README, re.MULTILINE)]
    assert len(genomes) >= 3
    for genome in genomes:
        resolve(genome, f"sqlite:///{tmp_path / 'none.db'}", None)


def test_the_page_on_the_language_is_what_the_registries_say():
    written = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
    assert written == reference().language(), "run python scripts/reference.py"


@pytest.mark.parametrize("command", COMMANDS)
def test_the_page_on_the_commands_names_every_option(command):
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert f"## palmette {command}\n" in page, "run python scripts/reference.py"
    own = page.partition(f"## palmette {command}\n")[2].partition("\n## ")[0]
    text = CliRunner().invoke(app, [command, "--help"]).output
    for option in set(re.findall(r"(--[a-z-]+)", text)):
        assert option in own, f"{option}: run python scripts/reference.py"
