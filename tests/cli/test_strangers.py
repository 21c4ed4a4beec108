"""Commands over a file of the user's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

import palmette
from palmette import ops
from palmette.cli import compare as compare_command
from palmette.ladder.scales import Scale, scale

Run = Callable[..., Result]
FILES = Path(__file__).parents[1] / "strangers"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Files of a user's, and a cache folder of the test's own."""
    made = tmp_path_factory.mktemp("layers")
    for file in FILES.glob("*.txt"):
        (made / f"{file.stem}.py").write_text(file.read_text("utf-8"), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(made / "cache"))
        before = {cls.name for cls in palmette.language().nodes}
        yield made
        for cls in palmette.language().nodes:
            if cls.name not in before:
                ops.dismiss(cls.name)


def test_check_says_what_it_was_kept_from(palmette: Run, folder: Path) -> None:
    result = palmette("check", str(folder / "leak.py"), "-f", "json")
    assert result.exit_code == 1
    row = json.loads(result.stdout)
    assert row["file"] == "leak.py:Leak"
    assert row["protection"]
    failed = {gate["gate"] for gate in row["gates"] if gate["passed"] is False}
    assert failed == {"future_change", "future_gradient", "prefix"}


def test_a_layer_that_reads_the_future_is_not_shown_as_if_it_did_not(
    palmette: Run, folder: Path
) -> None:
    result = palmette("show", str(folder / "leak.py"))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "gate future_change failed: output" in result.stderr
    assert "leak.py: Leak cannot be trained or compared: its scores would mean" in result.stderr


def test_show_and_export_take_a_layer(palmette: Run, folder: Path) -> None:
    file = str(folder / "average.py")
    shown = palmette("show", file, "-f", "json")
    assert shown.exit_code == 0, shown.stderr
    row = json.loads(shown.stdout)
    assert row["expression"].startswith("lm(stack(pre(average_")
    assert row["fits"]
    parts = {part["part"]: part["parameters"] for part in row["parts"]}
    assert sum(parts.values()) == row["parameters"]
    written = palmette("export", file, "-o", str(folder / "out.py"))
    assert written.exit_code == 0, written.stderr
    assert FILES.joinpath("average.txt").read_text("utf-8") in (folder / "out.py").read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "average.pi"), "no genome is called"),
        (("show", "none.py"), "there is no file"),
        (("check", "."), "no genome is called"),
        (("check", "average.py:Mean"), "average.py: Mean is not in it; its modules: Norm (line 6)"),
        (("check", "average.py", "--arg", "heads"), "--arg wants name=value"),
        (("check", "average.py", "--gate", "nothing"), "no gate is called 'nothing'"),
        (("check", "average.py", "--train"), "--train is for genomes"),
    ],
)
def test_mistakes_are_told_and_exit_with_2(
    palmette: Run,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(folder)
    result = palmette(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_compare_trains_it_beside_gated_deltanet(
    palmette: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def tiny(name: str) -> Scale:
        whole = scale("seedling")
        rungs = [replace(rung, tokens=2048, evaluation_tokens=512) for rung in whole.rungs]
        return replace(whole, rungs=tuple(rungs), learning_rates=(1e-2,))

    monkeypatch.setattr(compare_command, "scale_named", tiny)
    url = f"sqlite:///{tmp_path / 'palmette.db'}"
    file = str(folder / "average.py")
    options = ("--rung", "1", "--seeds", "2", "--suite", "recall", "--workers", "1")
    result = palmette("compare", file, "gated_deltanet", *options, "--storage", url, "-f", "json")
    assert result.exit_code == 0, result.stderr
    own, theirs = json.loads(result.stdout)
    assert (own["name"], theirs["name"]) == ("average", "gated_deltanet")
    assert own["parameters"] == pytest.approx(theirs["parameters"], rel=0.04)
    assert own["difference"] is None
    assert theirs["difference_low"] < theirs["difference"] < theirs["difference_high"]
