"""`palmette check`: exit codes, the table, JSON, trained weights."""

import json

import torch

from palmette.gates import GATES, tiny_trial
from palmette.model import atlas
from palmette.records import CheckRow
from palmette.store import Store
from palmette.testing.example_records import example_candidate, example_config

SMALL = "lm(pre(glu()))"


def test_a_good_genome_passes(palmette):
    result = palmette("check", SMALL, "--gate", "batch", "--gate", "prefix")
    assert result.exit_code == 0
    assert "✓" in result.output
    assert "2 gates" in result.output


def test_json_has_the_verdicts_and_nothing_around_them(palmette):
    result = palmette("check", "pre(glu())", "--gate", "batch", "-f", "json")
    row = CheckRow.model_validate(json.loads(result.output))
    assert row.passed
    assert row.expression == SMALL
    assert [gate.gate for gate in row.gates] == ["batch"]


def test_a_failed_gate_is_an_exit_code_of_one(palmette, monkeypatch):
    def fails(gate, subject):
        raise RuntimeError("it is broken")

    monkeypatch.setattr(GATES["batch"], "check", fails)
    result = palmette("check", SMALL, "--gate", "batch", "--gate", "prefix")
    assert result.exit_code == 1
    assert "raises RuntimeError: it is broken" in result.output
    assert "1 failed: batch" in result.output


def test_an_unknown_gate_is_the_users_mistake(palmette):
    result = palmette("check", SMALL, "--gate", "bach")
    assert result.exit_code == 2
    assert "did you mean 'batch'" in result.stderr


def test_a_gate_that_does_not_apply_is_no_pass(palmette):
    result = palmette("check", SMALL, "--gate", "canary")
    assert result.exit_code == 1
    assert "no gate says anything about it" in result.output


def test_train_makes_the_canary_apply(palmette):
    result = palmette("check", SMALL, "--gate", "canary", "--train")
    assert result.exit_code == 0, result.output
    assert "agrees with the trainer" in result.output


def test_the_weights_in_the_store_are_checked(palmette, tmp_path):
    genome = atlas.load("deltanet")
    url = f"sqlite:///{tmp_path / 'palmette.db'}"
    own = tiny_trial(genome, tmp_path)
    with Store(url) as store:
        campaign = store.create_campaign(example_config(root=genome.text, suite="recall"))
        campaign.add_candidate(example_candidate(genome.text))
        trial = campaign.queue(own.spec)
        campaign.start(trial.trial, 0.0)
        campaign.finish(trial.trial, own.result, 1.0)
        campaign.weights_directory.mkdir(parents=True, exist_ok=True)
        kept = campaign.weights_directory / f"{own.spec.key}.pt"
        torch.save(torch.load(own.weights, weights_only=True), kept)
    result = palmette("check", genome.hash[:12], "--gate", "canary", "--storage", url)
    assert result.exit_code == 0, result.output
    assert "agrees with the trainer" in result.output


def test_list_gates_names_them_all(palmette):
    rows = json.loads(palmette("list", "gates", "-f", "json").output)
    assert [row["name"] for row in rows] == list(GATES.names())
    assert all(row["summary"].endswith(".") for row in rows)
