from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palmette.cli._parts import parts
from palmette.model import atlas, cost, fit
from palmette.records import ShowRow
from palmette.store import Store
from tests.cli.conftest import FOUND, Grown

Run = Callable[..., Result]


@pytest.fixture
def nowhere(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'none.db'}"


def shown(result: Result) -> ShowRow:
    assert result.exit_code == 0, result.stderr
    return ShowRow.model_validate_json(result.stdout)


def test_a_genome_is_shown_without_a_store(palmette: Run, nowhere: str) -> None:
    row = shown(palmette("show", "gpt2", "--storage", nowhere, "-f", "json"))
    assert (row.name, row.fits, row.lineage) == ("gpt2", True, ())
    assert abs(row.parameters / 200_000 - 1) < 0.02
    assert row.state_bytes[1_048_576] > 8000 * row.state_bytes[128]  # a cache of all it has read


def test_a_constant_state_is_constant(palmette: Run, nowhere: str) -> None:
    row = shown(palmette("show", "deltanet", "--storage", nowhere, "-f", "json"))
    assert list(row.state_bytes) == [128, 1024, 8192, 65_536, 1_048_576]
    assert len(set(row.state_bytes.values())) == 1


@pytest.mark.parametrize("name", atlas.names())
def test_the_parts_are_all_of_the_parameters(name: str) -> None:
    genome = atlas.load(name)
    place = fit(genome, 42_000, 272, 100).place
    counted = parts(genome, place)
    assert sum(row.parameters for row in counted) == cost(genome, place, 100).parameters
    assert len({row.part for row in counted}) == len(counted) >= 3


def test_the_way_from_the_root_is_shown(palmette: Run, grown: Grown) -> None:
    row = shown(palmette("show", grown.grafted[:8], "--storage", grown.url, "-f", "json"))
    assert [step.genome for step in row.lineage] == [grown.root, grown.found, grown.grafted]
    assert [step.score for step in row.lineage] == pytest.approx([0.625, 0.65, 0.6375])


def test_show_for_people(palmette: Run, grown: Grown) -> None:
    result = palmette("show", "best", "--storage", grown.url, "--params", "42000")
    assert result.exit_code == 0
    for text in (FOUND, grown.found, "└─ stack", "embedding", "1,048,576", "tune: glu.activation"):
        assert text in result.stdout


def test_a_size_out_of_reach_is_told(palmette: Run, nowhere: str) -> None:
    result = palmette("show", "deltanet", "--params", "100", "--storage", nowhere)
    assert result.exit_code == 0
    assert "the nearest size there is" in result.stdout


@pytest.mark.parametrize(
    "text",
    ["__import__('os').system('x')", "(" * 1_000_000, "lm(10**10**10)", "glu(ratio=nan)", "()"],
    ids=["import", "brackets", "power", "nan", "empty"],
)
def test_hostile_genomes_are_mistakes(palmette: Run, nowhere: str, text: str) -> None:
    result = palmette("show", text, "--storage", nowhere)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "palmette: genome" in result.stderr


def test_a_campaign_wants_its_store(palmette: Run, nowhere: str) -> None:
    result = palmette("show", "gpt2", "--storage", nowhere, "--campaign", "first")
    assert result.exit_code == 2
    assert "to hold campaign 'first'" in result.stderr


def test_export_writes_the_weights_that_are_kept(
    palmette: Run, grown: Grown, tmp_path: Path
) -> None:
    output = tmp_path / "mine.py"
    result = palmette("export", "best", "-o", str(output), "--storage", grown.url, "-f", "json")
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["file"] for row in rows] == [str(output), str(output.with_suffix(".pt"))]
    assert rows[1]["what"] == "weights of trial 20 of campaign 'first' (rung 3, seed 0)"
    assert output.with_suffix(".pt").read_bytes() == b"weights"
    assert FOUND in output.read_text()


def test_export_says_that_nothing_was_trained(palmette: Run, grown: Grown, tmp_path: Path) -> None:
    output = tmp_path / "mine.py"
    arguments = ("export", grown.grafted, "-o", str(output), "--params", "42000")
    result = palmette(*arguments, "--storage", grown.url)
    assert result.exit_code == 0, result.stderr
    assert "not trained: no weights of it are kept" in result.stdout
    assert list(tmp_path.glob("*.pt")) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mine.txt", "-o wants a file that ends in .py"),
        ("no/such/mine.py", "there is no folder"),
        ("folder.py", "is a folder; name a file in it"),
    ],
)
def test_a_bad_output_is_a_mistake(palmette: Run, tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.py").mkdir()
    result = palmette("export", "gpt2", "-o", str(tmp_path / name))
    assert result.exit_code == 2
    assert said in result.stderr


def test_the_latest_campaign_that_has_a_genome_gives_its_lineage(
    palmette: Run, grown: Grown
) -> None:
    with Store(grown.url) as store:
        config = store.latest().config.model_copy(update={"name": "second"})
        candidate = store.latest().candidates()[0]
        store.create_campaign(config).add_candidate(candidate)
    row = shown(palmette("show", "deltanet", "--storage", grown.url, "-f", "json"))
    assert [(step.genome, step.score) for step in row.lineage] == [(grown.root, None)]
