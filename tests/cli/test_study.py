"""`grow --llm-study`: the tables fit the terminal, and a small study is grown, told and written."""

import io
import json

import pytest
from rich.cells import cell_len
from rich.console import Console

from palmette.cli._study_table import markdown, packed, show_study
from palmette.records import Study
from palmette.report import study_columns
from palmette.search.proposers import proposers
from palmette.testing.scripted import Served
from palmette.train.executor import Inline
from tests.report.make_study import made_up_study
from tests.search.designers import Tiny
from tests.search.test_scheduler import made_up


@pytest.fixture(scope="module")
def study():
    return made_up_study(seeds=2, each=4)


def shown(study: Study, width: int) -> list[str]:
    out = io.StringIO()
    show_study(Console(file=out, width=width, force_terminal=True, color_system=None), study)
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_cell_is_broken(study, width):
    lines = shown(study, width)
    assert max(map(cell_len, lines)) <= width
    for column in study_columns(study):
        if column.known:
            assert sum(column.head in line for line in lines) >= 1, column.head
            for cell in column.cells:
                assert any(cell in line for line in lines), (column.name, cell)


def test_no_cell_is_cut_in_a_pipe(study):
    out = io.StringIO()
    show_study(Console(file=out, width=80), study)
    assert "…" not in out.getvalue()
    assert all(cell in out.getvalue() for c in study_columns(study) if c.known for cell in c.cells)


def test_a_wide_terminal_has_one_table_and_a_narrow_one_repeats_the_names(study):
    columns = study_columns(study)
    assert len(packed(columns, 500)) == 1
    narrow = packed(columns, 80)
    assert all(table[0].name == "arm" and len(table) > 1 for table in narrow)
    assert [c.name for table in narrow for c in table[1:]] == [c.name for c in columns[1:]]
    assert len(packed(columns, 10)) == len(columns) - 1


def test_a_column_of_dashes_is_left_out_on_the_screen_alone():
    plain = made_up_study(("evolution", "random"), seeds=1, each=3)
    assert "rating" not in "\n".join(shown(plain, 200))
    assert "| rating |" in markdown(plain)


def test_a_small_study_from_the_command_line(palmette, tmp_path, monkeypatch):
    """A proposer of two steps a proposal, and trials that are made up."""
    monkeypatch.setitem(proposers._scan(), "tiny", Tiny)
    monkeypatch.setattr("palmette.cli._study.Pool", lambda *a, **options: Inline(made_up))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    options = ["--scale", "seedling", "--suite", "parity", "--budget", "10genomes"]
    options += ["--workers", "1", "-o", str(tmp_path), "--proposer", "tiny,evolution"]
    options += ["--llm-study", "--storage", f"sqlite:///{tmp_path / 'p.db'}"]
    with Served(["yes"], models=("scripted",)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        result = palmette("grow", *options)
    assert result.exit_code == 0, result.output
    found = Study.model_validate(json.loads((tmp_path / "study.json").read_text()))
    assert {arm.genomes for arm in found.arms} == {2}
    assert [arm.arm for arm in found.arms][3:] == ["tiny-without-either", "evolution"]
    assert all(arm.tokens > 0 for arm in found.arms if arm.knowledge is not None)
    page = (tmp_path / "study.html").read_text()
    assert "sk-canary" not in page
    assert "This is a single seed" in page
    assert "This is a single seed" in result.output
    assert "study.html" in "".join(result.output.split("\n"))
    again = palmette("grow", *options)  # without a server: it is complete, and only shown
    assert again.exit_code == 0, again.output
    assert (tmp_path / "study.html").read_text() == page
