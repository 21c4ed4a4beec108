"""`list`, `sample` and `doctor`: what needs no store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

import palmette as package
from palmette.errors import CorpusError
from palmette.model import atlas
from palmette.ops import primitives
from palmette.ops.kernels.native.library import unavailable
from palmette.records import AtlasRow, DoctorRow, GateRow, PrimitiveRow, ProposerRow, TaskRow

Run = Callable[..., Result]


@pytest.mark.parametrize(
    ("kind", "record", "known"),
    [
        ("atlas", AtlasRow, {"deltanet", "gpt2", "mamba2"}),
        ("primitives", PrimitiveRow, {"lm", "stack", "lin", "attn", "glu"}),
        ("tasks", TaskRow, {"text", "recall", "copying", "parity"}),
        ("gates", GateRow, {"future_change", "decode_parity", "canary"}),
        ("proposers", ProposerRow, {"random", "evolution"}),
    ],
)
def test_lists_as_json(palmette: Run, kind: str, record: type, known: set[str]) -> None:
    result = palmette("list", kind, "-f", "json")
    rows = [record(**row) for row in json.loads(result.stdout)]
    assert known <= {row.name for row in rows}
    assert all(row.summary for row in rows)


def test_sealed_tasks_are_listed_without_parameters(palmette: Run) -> None:
    rows = json.loads(palmette("list", "tasks", "-f", "json").stdout)
    sealed = {row["name"]: row for row in rows if row["sealed"]}
    assert set(sealed) == {"arithmetic", "grid", "lorenz", "mazes", "rewriting"}
    assert all(row["chance_bits"] is None for row in sealed.values())
    assert all(set(row) == {"name", "summary", "sealed", "chance_bits"} for row in rows)


@pytest.mark.parametrize("name", ["mazes", "exam/0123456789abcdef"])
def test_a_search_on_a_sealed_task_is_refused(palmette: Run, name: str) -> None:
    result = palmette("grow", "--suite", name, "--budget", "1genomes")
    assert result.exit_code == 2
    assert f"'{name}' is sealed" in result.stderr


@pytest.mark.parametrize("kind", ["probes", "claims"])
def test_what_is_not_there_yet_is_an_empty_list(palmette: Run, kind: str) -> None:
    assert json.loads(palmette("list", kind, "-f", "json").stdout) == []
    assert palmette("list", kind).stdout == "none\n"


def test_the_atlas_holds_genomes(palmette: Run) -> None:
    rows = json.loads(palmette("list", "atlas", "-f", "json").stdout)
    assert {row["name"]: row["genome"] for row in rows} == {
        name: atlas.load(name).text for name in atlas.names()
    }


def test_primitives_say_how_they_are_written(palmette: Run) -> None:
    result = palmette("list", "primitives")
    assert len([line for line in result.stdout.splitlines() if "(" in line]) >= len(primitives)
    assert "repeat(n: 2|3|4, Core" in result.stdout


def test_samples_are_legal_and_reproducible(palmette: Run) -> None:
    first = palmette("sample", "-n", "7", "--seed", "3").stdout.splitlines()
    assert len(first) == 7
    assert [str(package.parse(line)) for line in first] == first
    assert palmette("sample", "-n", "7", "--seed", "3").stdout.splitlines() == first
    assert palmette("sample", "-n", "7", "--seed", "4").stdout.splitlines() != first


def test_samples_as_json(palmette: Run) -> None:
    (row,) = json.loads(palmette("sample", "-f", "json").stdout)
    assert package.parse(row["expression"]).hash == row["genome"]


@pytest.fixture
def checks(palmette: Run, tmp_path: Path) -> Callable[..., tuple[int, dict[str, DoctorRow]]]:
    def look(url: str = f"sqlite:///{tmp_path}/palmette.db") -> tuple[int, dict[str, DoctorRow]]:
        result = palmette("doctor", "--storage", url, "-f", "json")
        rows = [DoctorRow(**row) for row in json.loads(result.stdout)]
        return result.exit_code, {row.check: row for row in rows}

    return look


Look = Callable[..., tuple[int, dict[str, DoctorRow]]]


@pytest.fixture
def small_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("palmette.cli.doctor.load_corpus", lambda: "a small corpus")


@pytest.mark.usefixtures("small_corpus")
def test_doctor_finds_what_grow_needs(checks: Look) -> None:
    code, rows = checks()
    assert code == 0
    assert rows["text"].detail == "a small corpus"
    assert rows["kernels: torch"].state == "fine"
    reason = unavailable()
    assert rows["kernels: native"].state == ("missing" if reason else "fine")
    assert (reason or "kept in") in rows["kernels: native"].detail
    assert "`palmette grow` makes it" in rows["store"].detail


@pytest.mark.usefixtures("small_corpus")
def test_doctor_says_what_is_broken(checks: Look, tmp_path: Path) -> None:
    path = tmp_path / "shopping.db"
    path.write_text("quinces, and a good deal more than that\n" * 40)
    code, rows = checks(f"sqlite:///{path}")
    assert (code, rows["store"].state) == (1, "broken")
    assert "is not a database" in rows["store"].detail


def test_doctor_without_text(checks: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise CorpusError("no standard library here")

    monkeypatch.setattr("palmette.cli.doctor.load_corpus", missing)
    code, rows = checks()
    assert (code, rows["text"].state) == (1, "broken")
    assert rows["text"].detail == "no standard library here; grow with --corpus PATH"
