"""What the commands print about a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from palmette.ladder.scales import pocket
from palmette.model import parse
from palmette.records import BestRow, StatusRow, TreeRow, TrialRow
from palmette.store import Store
from palmette.store.dump import load
from palmette.testing.example_records import example_candidate, example_config, example_thought
from tests.cli.conftest import FOUND, Grown

Run = Callable[..., Result]


def test_status_as_json(palmette: Run, grown: Grown) -> None:
    result = palmette("status", "--storage", grown.url, "-f", "json")
    row = StatusRow.model_validate_json(result.stdout)
    assert (row.campaign, row.genomes, row.placebos, row.budget) == ("first", 2, 1, "60genomes")
    assert row.trials == {"queued": 0, "running": 0, "done": 16, "failed": 5}
    assert row.best == grown.found


def test_status_as_a_table(palmette: Run, grown: Grown) -> None:
    result = palmette("status", "--storage", grown.url)
    assert result.exit_code == 0
    assert "1 min 15 s" in result.stdout
    assert "16 done, 5 failed" in result.stdout


def test_status_says_what_models_have_cost(palmette: Run, grown: Grown) -> None:
    arguments = ("status", "--storage", grown.url, "-f", "json")
    row = StatusRow.model_validate_json(palmette(*arguments).stdout)
    assert (row.model_tokens, row.model_usd) == (None, None)
    with Store(grown.url) as store:
        store.latest().add_thought(example_thought(tokens_in=100, tokens_out=5, usd=0.25), None)
    row = StatusRow.model_validate_json(palmette(*arguments).stdout)
    assert (row.model_tokens, row.model_usd) == (105, 0.25)


def test_a_killed_campaign_is_stopped_and_a_live_one_is_not(palmette: Run, grown: Grown) -> None:
    def state() -> str:
        result = palmette("status", "--storage", grown.url, "-f", "json")
        return str(json.loads(result.stdout)["state"])

    assert state() == "stopped"
    with Store(grown.url) as store, store.latest().lease("grow"):
        assert state() == "running"


def test_best_as_json(palmette: Run, grown: Grown) -> None:
    result = palmette("best", "--storage", grown.url, "-f", "json")
    rows = [BestRow.model_validate(row) for row in json.loads(result.stdout)]
    assert (rows[0].genome, rows[0].role, rows[0].rung) == (grown.found, "found", "3")
    assert rows[1].role == "root"
    assert len(rows) == 5


def test_best_says_what_it_is_not(palmette: Run, grown: Grown) -> None:
    result = palmette("best", "--storage", grown.url, "-n", "2")
    assert FOUND in result.stdout
    assert "Candidates, not discoveries" in result.stdout
    assert "3 more: -n 5" in " ".join(result.stdout.split())
    assert "gpt2" not in result.stdout


def test_trials_as_json(palmette: Run, grown: Grown) -> None:
    result = palmette("trials", "--storage", grown.url, "-f", "json")
    rows = [TrialRow.model_validate(row) for row in json.loads(result.stdout)]
    assert [row.trial for row in rows] == list(range(1, 22))
    assert rows[0].score == pytest.approx(0.625)
    assert (rows[2].state, rows[2].score, rows[2].metrics) == ("failed", None, None)


def test_missing_values_are_dashes(palmette: Run, grown: Grown) -> None:
    result = palmette("trials", "--storage", grown.url)
    (line,) = [text for text in result.stdout.splitlines() if text.split()[:1] == ["3"]]
    told = f"7 {pocket().learning_rates[2]} failed 1 – – – diverged at 4,096 tokens: loss is nan"
    assert " ".join(line.split()[4:]) == told


def test_tree_as_json(palmette: Run, grown: Grown) -> None:
    result = palmette("tree", "--storage", grown.url, "-f", "json")
    rows = [TreeRow.model_validate(row) for row in json.loads(result.stdout)]
    assert rows[3].parents == (grown.found, grown.root)
    assert rows[4].replica == 1


def test_the_tree_is_drawn(palmette: Run, grown: Grown) -> None:
    result = palmette("tree", "--storage", grown.url)
    lines = result.stdout.splitlines()
    assert lines[0] == "first"
    assert f"├── {grown.root[:8]}  0.625  root deltanet" in lines[1]
    assert f"│   ├── {grown.found[:8]}  0.65  tune: glu.activation  rung 3" in lines[2]
    assert f"│   │   └── {grown.grafted[:8]}" in lines[3]
    assert f"(and from {grown.root[:8]})" in lines[3]
    assert "placebo Quince" in lines[4]


def test_another_campaign_is_chosen_by_name(palmette: Run, grown: Grown) -> None:
    with Store(grown.url) as store:
        config = store.latest().config
        store.create_campaign(config.model_copy(update={"name": "second"}))
    result = palmette("best", "--storage", grown.url)
    assert result.stdout.startswith("none\n")
    result = palmette("best", "--storage", grown.url, "--campaign", "first")
    assert grown.found[:8] in result.stdout
    result = palmette("best", "--storage", grown.url, "--campaign", "frist")
    assert result.exit_code == 2
    assert "no campaign is called 'frist'; did you mean 'first'?" in result.stderr


def test_a_campaign_of_other_rungs_is_not_ranked_by_these(palmette: Run, grown: Grown) -> None:
    with Store(grown.url) as store:
        store.create_campaign(example_config(name="old"))
    for command in ("best", "tree", "status"):
        result = palmette(command, "--storage", grown.url, "--campaign", "old")
        assert result.exit_code == 2
        assert "campaign 'old' was grown when scale 'pocket' had other rungs" in result.stderr
    assert palmette("trials", "--storage", grown.url, "--campaign", "old").exit_code == 0


def test_a_comparison_is_not_ranked(palmette: Run, grown: Grown) -> None:
    with Store(grown.url) as store:
        store.create_campaign(example_config(name="compare-1", kind="compare"))
    result = palmette("best", "--storage", grown.url, "--campaign", "compare-1")
    assert result.exit_code == 2
    assert "'compare-1' holds a comparison; run the same `palmette compare` again" in result.stderr


def test_the_report_is_written(palmette: Run, grown: Grown, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    result = palmette("report", "-o", str(output), "--storage", grown.url, "-f", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout) == [
        {"file": str(output), "what": "the report of campaign 'first'"}
    ]
    assert grown.found[:8] in output.read_text()


def test_a_campaign_is_kept_as_data(palmette: Run, grown: Grown, tmp_path: Path) -> None:
    page, data = tmp_path / "page.html", tmp_path / "campaign.json.gz"
    told = ("--storage", grown.url, "-f", "json")
    result = palmette("report", "-o", str(page), "--data", str(data), *told)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)[1]["file"] == str(data)
    with Store(grown.url) as store:
        trials = store.latest().trials()
    kept = load(data.read_bytes()).campaign.trials
    assert [one.key for one in kept] == [one.key for one in trials]
    refused = palmette("report", "-o", str(page), "--data", "campaign.csv", *told)
    assert refused.exit_code == 2
    assert "--data wants a file that ends in .json.gz, got campaign.csv" in refused.stderr


def test_a_report_is_a_page(palmette: Run, grown: Grown) -> None:
    result = palmette("report", "-o", "page.pdf", "--storage", grown.url)
    assert result.exit_code == 2
    assert "-o wants a file that ends in .html, got page.pdf" in result.stderr


def test_a_campaign_of_a_scale_that_is_gone_is_told_and_its_trials_listed(
    palmette: Run, grown: Grown
) -> None:
    with Store(grown.url) as store:
        root = parse(FOUND)
        old = store.create_campaign(example_config(name="old", scale="gone"))
        old.add_candidate(example_candidate(root.text))
    for command in (["best"], ["status"], ["show", FOUND]):
        result = palmette(*command, "--storage", grown.url, "--campaign", "old")
        assert result.exit_code == 2
        assert "grown at scale 'gone', which is not in this version" in result.stderr
    assert palmette("trials", "--storage", grown.url, "--campaign", "old").exit_code == 0
    result = palmette("show", FOUND, "--storage", grown.url)  # the genome alone: no lineage
    assert result.exit_code == 0
    assert "lineage" not in result.stdout
