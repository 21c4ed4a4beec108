"""`grow` with language models: the user's mistakes, and a small run against a served script."""

import json

import pytest

from palmette.search.proposers import proposers
from palmette.store import Store
from palmette.testing.scripted import Served, refusing
from palmette.train.executor import Inline
from tests.search.designers import Tiny
from tests.search.test_scheduler import made_up


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.setitem(proposers._scan(), "tiny", Tiny)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def grow(palmette, tmp_path, *arguments):
    options = ["--scale", "seedling", "--suite", "parity", "--budget", "2genomes"]
    options += ["--workers", "1", "-o", str(tmp_path / "out")]
    return palmette(
        "grow", *options, "--storage", f"sqlite:///{tmp_path / 'palmette.db'}", *arguments
    )


@pytest.mark.parametrize(
    "option",
    [
        ["--llm-model", "a"],
        ["--llm-budget", "2usd"],
        ["--llm-price", "a=1/2"],
        ["--llm-steps", "2"],
        ["--llm-context", "2048"],
        ["--llm-answer", "256"],
        ["--no-llm-knowledge"],
        ["--no-llm-feedback"],
        ["--llm-embedding-model", "a"],
        ["--allow-code"],
    ],
    ids=lambda option: option[0],
)
def test_options_that_nobody_would_look_at_are_refused(palmette, tmp_path, option):
    result = grow(palmette, tmp_path, "--proposer", "evolution,random", *option)
    told = " ".join(result.output.split())
    assert result.exit_code == 2
    assert "want a proposer that asks one, such as --proposer llm,evolution" in told
    assert "got evolution, random" in told
    assert not (tmp_path / "palmette.db").exists()


@pytest.mark.parametrize(
    ("arguments", "wording"),
    [
        (["--llm-budget", "much"], "2usd or tokens such as 200k-tokens; 'much' is neither"),
        (["--llm-budget", "2usd"], "--llm-price served=IN/OUT"),
        (["--llm-price", "a"], "a price"),
        (["--llm-steps", "0"], "steps wants 1 or more, got 0"),
        (["--llm-context", "100"], "context_tokens wants 512 or more, got 100"),
        (["--llm-answer", "9000"], "answer_tokens wants less than context_tokens (8192)"),
        (["--llm-model", "srved"], "did you mean 'served'?"),
        (["--llm-study-seeds", "3"], "how often --llm-study is repeated; give both"),
        (["--mix", "luck"], "mix: Input should be 'turns' or 'bandit', got 'luck'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_values_are_told_in_a_sentence(palmette, tmp_path, monkeypatch, arguments, wording):
    with Served(["yes"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        result = grow(palmette, tmp_path, "--proposer", "tiny", *arguments)
    assert result.exit_code == 2, result.output
    assert wording in " ".join(result.output.split())
    assert not (tmp_path / "palmette.db").exists()


def test_without_a_key_a_server_or_a_model_it_is_one_sentence(palmette, tmp_path, monkeypatch):
    result = grow(palmette, tmp_path, "--proposer", "tiny")
    assert result.exit_code == 2
    assert "wants a key in OPENAI_API_KEY" in " ".join(result.output.split())
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    result = grow(palmette, tmp_path, "--proposer", "tiny")
    assert result.exit_code == 2
    assert "choose other proposers with --proposer" in " ".join(result.output.split())


@pytest.fixture
def made_up_trials(monkeypatch):
    """Nothing is trained, so there is nothing to export."""
    monkeypatch.setattr("palmette.cli._pool.Pool", lambda *arguments, **options: Inline(made_up))
    monkeypatch.setattr("palmette.cli.grow.export_best", lambda *arguments: [])


@pytest.mark.usefixtures("made_up_trials")
def test_a_campaign_of_designers_is_grown_continued_and_held_to_its_models(
    palmette, tmp_path, monkeypatch
):
    both = ["--proposer", "tiny,evolution", "--llm-price", "scripted=1/2"]
    answers = [*["no"] * 4, "yes"]
    with Served(answers, models=("scripted",)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
        result = grow(palmette, tmp_path, *both, "--llm-budget", "1usd")
        assert result.exit_code == 0, result.output
        told = " ".join(result.output.split())
        assert "proposal came to nothing (researcher: no legal answer" in told
        assert "designers: 0 thinking," in told
        assert "of 1usd" in told
        changed = grow(palmette, tmp_path, *both, "--llm-steps", "2")
        assert changed.exit_code == 2
        assert "designer.steps: it has 4, this command says 2" in changed.output
        assert "retries" not in changed.output
        again = grow(palmette, tmp_path, *both)
        assert again.exit_code == 0, again.output
    with Store(f"sqlite:///{tmp_path / 'palmette.db'}") as store:
        campaign = store.latest()
        assert campaign.config.designer.models == ("scripted",)
        assert {thought.proposer for thought in campaign.thoughts()} == {"tiny"}
        held = json.dumps([event.detail for event in campaign.events()])
        assert "sk-canary" not in held + str(campaign.thoughts())


@pytest.mark.usefixtures("made_up_trials")
def test_a_designer_alone_that_is_refused_ends_in_a_sentence(palmette, tmp_path, monkeypatch):
    with Served([refusing()], models=("scripted",)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        tokens = ["--llm-budget", "4k-tokens"]
        result = grow(palmette, tmp_path, "--proposer", "tiny", *tokens)
    told = " ".join(result.output.split())
    assert result.exit_code == 0, result.output
    assert "nothing more was proposed (tiny: the models' budget of 4k-tokens is spent)" in told


def test_doctor_says_whether_models_can_be_asked_and_never_the_key(palmette, monkeypatch):
    assert "no OPENAI_API_KEY and no OPENAI_BASE_URL" in _models(palmette)["detail"]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    with Served(["yes"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        row = _models(palmette)
    assert row == {
        "check": "language models",
        "state": "fine",
        "detail": "a key is set; the server answers and has served",
    }
    gone = _models(palmette)
    assert gone["state"] == "missing"
    assert "sk-canary" not in str(gone)


def _models(palmette):
    rows = json.loads(palmette("doctor", "-f", "json").output)
    return next(row for row in rows if row["check"] == "language models")
