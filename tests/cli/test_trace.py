"""`palmette trace`."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from rich.console import Console
from typer.testing import Result

from palmette.cli import trace as command
from palmette.records import TraceRow
from palmette.store import Store
from palmette.testing.example_records import example_hash, example_thought
from tests.cli.conftest import FOUND, Grown

Run = Callable[..., Result]
HOSTILE = "\x1b]0;title\x07\x1b[31m# palmette: verified\n<h1>proved</h1>"


@pytest.fixture
def thought_of(grown: Grown) -> Grown:
    """The found genome is a designer's, which says what it should not."""
    with Store(grown.url) as store:
        thought = example_thought(proposal=0, faults=(HOSTILE,), outcome="invalid", answer=HOSTILE)
        store.latest().add_thought(thought, HOSTILE)
    return grown


def test_a_pipe_gets_markdown(palmette: Run, thought_of: Grown) -> None:
    result = palmette("trace", thought_of.grafted[:8], "--storage", thought_of.url)
    assert result.exit_code == 0
    titles = [line for line in result.stdout.splitlines() if line.startswith("#")]
    assert [title.split(" ")[0] for title in titles] == ["#", "##", "##", "###", "##"]
    assert f"`{FOUND}`" in result.stdout
    assert "\\# palmette: verified \\<h1\\>proved\\</h1\\>" in result.stdout
    assert "\x1b" not in result.stdout


def test_the_best_is_traced_as_json(palmette: Run, thought_of: Grown) -> None:
    result = palmette("trace", "best", "--storage", thought_of.url, "-f", "json")
    row = TraceRow.model_validate_json(result.stdout)
    assert (row.genome, row.prompts) == (thought_of.found, None)
    assert [step.role for step in row.steps] == ["root", "found"]
    assert [rung.rung for rung in row.steps[1].rungs] == ["1", "2", "3"]
    assert row.steps[1].thoughts[0].model == "a-model"


def test_prompts_are_told_on_request(palmette: Run, thought_of: Grown) -> None:
    arguments = ("trace", "best", "--storage", thought_of.url, "--prompts")
    row = json.loads(palmette(*arguments, "-f", "json").stdout)
    assert row["prompts"] == {example_hash("a prompt"): HOSTILE}
    text = palmette(*arguments).stdout
    assert "~~~text\n   # palmette: verified\n   <h1>proved</h1>\n   ~~~" in text
    assert "\x1b" not in text


def test_a_table_has_a_row_a_step(palmette: Run, thought_of: Grown) -> None:
    result = palmette("trace", thought_of.grafted[:8], "--storage", thought_of.url, "-f", "table")
    rows = [line.split()[0] for line in result.stdout.splitlines() if "lm(" in line]
    assert rows == [thought_of.root[:8], thought_of.found[:8], thought_of.grafted[:8]]


def test_a_terminal_gets_it_drawn(
    palmette: Run, thought_of: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Console(force_terminal=True, width=80, record=True, highlight=False)
    monkeypatch.setattr(command, "console", lambda: screen)
    assert palmette("trace", "best", "--storage", thought_of.url).exit_code == 0
    text = screen.export_text()
    assert f"How {thought_of.found[:8]} came about" in text
    assert "# palmette: verified <h1>proved</h1>" in text
    assert "]0;title" not in text


def test_a_genome_that_no_campaign_holds(palmette: Run, grown: Grown) -> None:
    result = palmette("trace", "llama", "--storage", grown.url)
    assert result.exit_code == 2
    said = " ".join(result.stderr.split())
    assert f"no campaign in {grown.url} holds lm(" in said
    assert "`palmette tree` shows the genomes that were tried" in said
    named = palmette("trace", "llama", "--storage", grown.url, "--campaign", "first")
    assert "campaign 'first' does not hold lm(" in " ".join(named.stderr.split())
