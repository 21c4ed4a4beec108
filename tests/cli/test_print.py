"""Nothing that a command prints is cut off, however narrow the terminal and poor its letters."""

from __future__ import annotations

import io
import sys

import pytest
from rich.console import Console

from palmette.cli import _print, main
from palmette.model import atlas
from palmette.records import CompareRow, TrialRow

ROW = TrialRow(
    trial=17,
    genome="9a8543fb41a953c681d51cda6a6b038f48d4cf9c49be6342407af99e84ebc54e",
    rung="2",
    suite="pocket",
    seed=1_421_166_345,
    replica=0,
    learning_rate=0.0075,
    state="failed",
    reason="the loss is not finite: it was 5.2 nats at 4,096 tokens and nan at 8,192",
    attempts=1,
    metrics=None,
    score=0.46123,
    parameters=84_018,
    flops_forward=200_132.0,
    state_bytes=2_560,
    cpu_seconds=5.25,
)
COLUMNS = {field: field for field in ("trial", "genome", "seed", "score", "parameters", "reason")}


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_shows_every_value_whole(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    printed = io.StringIO()
    screen = Console(file=printed, force_terminal=True, color_system=None, width=width)
    monkeypatch.setattr(_print, "console", lambda: screen)
    _print.show_rows([ROW, ROW], "table", COLUMNS)
    words = printed.getvalue().split()
    for value in ("17", "9a8543fb", "1421166345", "0.4612", "84,018"):
        assert words.count(value) == 2
    assert "and nan at 8,192" in " ".join(words)


def test_names_stay_whole_beside_long_genomes_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    _print.show_rows(atlas.rows(), "table")
    assert set(atlas.names()) <= set(capsys.readouterr().out.split())


def test_no_short_cell_is_cut_in_a_pipe_however_many_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    row = CompareRow(
        genome="9a" * 8, expression="pre(mlp())", name="a" * 30, score=0.123456, low=-0.123456,
        high=0.123456, difference=-0.0123456, difference_low=-0.0234567, difference_high=-0.0034567,
        seeds=100, learning_rate=0.015, parameters=123_456_789, flops_forward=123_456_789.0,
        state_bytes=123_456_789, rung="1", against="b" * 30, league="constant-state",
        flops_train=1.23456e12, matched="1.06 times the training FLOPs", told="not told",
        carries="does not carry", paired=False, correlation=-0.123456,
    )  # fmt: skip
    _print.show_rows([row], "table")
    shown = capsys.readouterr().out.splitlines()
    assert len(shown[2]) > _print.PIPE_WIDTH
    words = " ".join(shown).split()
    for value in ("0.015", "a" * 30, "constant-state", "123,456,789", "-0.1235", "FLOPs"):
        assert value in words


def test_letters_that_the_terminal_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", poor)
    nowhere = "sqlite:////no/such/folder/palmette.db"
    monkeypatch.setattr(sys, "argv", ["palmette", "show", "deltanet", "--storage", nowhere])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    poor.flush()
    printed = poor.buffer.getvalue().decode("ascii")
    assert "lm(stack(pre(lin(erase='beta')), pre(glu())))" in printed
    assert "state while decoding" in printed
