from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

import palmette as package
from palmette.errors import UserError

Run = Callable[..., Result]

COMMANDS = ("best", "compare", "doctor", "export", "grow", "list", "report", "sample", "show",
            "status", "trace", "tree", "trials")  # fmt: skip


def test_the_version_is_printed(palmette: Run) -> None:
    result = palmette("--version")
    assert (result.exit_code, result.stdout) == (0, f"palmette {package.__version__}\n")


def test_help_names_every_command(palmette: Run) -> None:
    result = palmette("--help")
    assert result.exit_code == 0
    for command in COMMANDS:
        assert f" {command} " in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(palmette: Run, command: str) -> None:
    result = palmette(command, "--help")
    assert result.exit_code == 0
    assert f"palmette {command}" in result.stdout or f"root {command}" in result.stdout


def test_an_unknown_command_is_a_mistake(palmette: Run) -> None:
    result = palmette("sampel")
    assert result.exit_code == 2
    assert "no command is called 'sampel'; did you mean 'sample'?" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "quinces"),
        ("show",),
        ("sample", "-n", "-1"),
        ("sample", "-n", "many"),
        ("status", "-f", "xml"),
        ("show", "deltanet", "--params", "0"),
        ("export", "deltanet"),
        ("status", "--no-such-option"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_are_a_mistake(palmette: Run, arguments: tuple[str, ...]) -> None:
    result = palmette(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr


@pytest.mark.parametrize("command", ["status", "best", "trials", "tree", "report"])
def test_reading_without_a_store_says_what_to_do(
    palmette: Run, command: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    url = f"sqlite:///{folder}/palmette.db"
    result = palmette(command, "--storage", url)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"palmette: there is no store at {url}; run `palmette grow` first" in result.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (UserError("give another"), 2, "palmette: give another\n"),
        (OSError(errno.ENOSPC, "No space left", "x.html"), 2, "No space left (x.html); make room"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=["user's mistake", "full disk", "interrupted"],
)
def test_exit_codes(
    palmette: Run,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("palmette.cli.sample.sample_genome", fail)
    result = palmette("sample")
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_fault_of_ours_keeps_its_traceback(
    palmette: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palmette.cli.sample.sample_genome", lambda *_: 1 / 0)
    assert isinstance(palmette("sample").exception, ZeroDivisionError)


def test_a_reader_that_leaves_early_hears_nothing() -> None:
    command = [sys.executable, "-m", "palmette", "sample", "-n", "500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"lm(")
        process.stdout.close()
        assert process.stderr.read() == b""
