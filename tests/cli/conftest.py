"""A small campaign with made-up results, as `grow` would have left it in the middle of its work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from palmette.cli import app
from palmette.ladder.results import Setting, trial_spec
from palmette.ladder.scales import scale
from palmette.model import atlas, parse
from palmette.records import Candidate, Event
from palmette.store import Campaign, Store
from palmette.testing.example_records import (
    example_candidate,
    example_config,
    example_result,
    example_root,
)

SCALE = scale("pocket")
FOUND = "lm(stack(pre(lin(erase='beta')), pre(glu(activation='gelu'))))"
GRAFTED = "lm(stack(pre(lin(erase='beta')), pre(mlp())))"


@dataclass(frozen=True)
class Grown:
    """Where the store is, and the hashes of what is in it."""

    url: str
    root: str
    found: str
    grafted: str


@pytest.fixture
def palmette() -> Callable[..., Result]:
    """Runs a command as the script would."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
def grown(tmp_path: Path) -> Grown:
    """A store with one campaign."""
    url = f"sqlite:///{tmp_path / 'palmette.db'}"
    root = atlas.load("deltanet")
    found, grafted = parse(FOUND), parse(GRAFTED)
    config = example_config(scale_digest=SCALE.digest, root=root.text)
    with Store(url) as store:
        campaign = store.create_campaign(config)
        candidates = [
            example_root(root.text),
            example_root(atlas.load("gpt2").text, role="baseline", name="gpt2"),
            example_candidate(
                found.text, parents=(root.hash,), proposal=0, edit_text="tune: glu.activation"
            ),
            example_candidate(
                grafted.text, parents=(found.hash, root.hash), proposal=1, edit="graft"
            ),
            example_candidate(
                root.text,
                replica=1,
                role="placebo",
                name="Quince",
                parents=(root.hash,),
                edit=None,
                edit_text=None,
            ),
        ]
        for candidate, bits in zip(candidates, (3.0, 3.2, 2.8, 2.9, 3.1), strict=True):
            _sweep(campaign, candidate, bits)
        for candidate, bits in ((candidates[0], 2.7), (candidates[2], 2.5)):
            _climb(campaign, candidate, bits)
        campaign.set_state("running")  # and killed: no lease
        campaign.set_elapsed(75.0)
        campaign.set_budget("60genomes")
        campaign.add_event(Event(seconds=75.0, kind="stopped"))
    return Grown(url, root.hash, found.hash, grafted.hash)


def _setting() -> Setting:
    config = example_config()
    return Setting(SCALE, config.suite, config.suite_digest, config.seed, config.numerics)


def _sweep(campaign: Campaign, candidate: Candidate, bits: float) -> None:
    """Three rates on the first rung; the highest fails."""
    campaign.add_candidate(candidate)
    for number, rate in enumerate(SCALE.learning_rates):
        spec = trial_spec(candidate, SCALE.rungs[0], _setting(), 7, rate)
        trial = campaign.queue(spec).trial
        campaign.start(trial, float(number))
        if number < 2:
            campaign.finish(trial, example_result(bits + number / 10), number + 2.5)
        else:
            campaign.fail(trial, "diverged at 4,096 tokens: loss is nan", number + 0.5)


def _climb(campaign: Campaign, candidate: Candidate, bits: float) -> None:
    """The later rungs, with weights on the last."""
    for rung in SCALE.rungs[1:]:
        for seed in range(rung.seeds):
            spec = trial_spec(candidate, rung, _setting(), seed, SCALE.learning_rates[0])
            trial = campaign.queue(spec)
            campaign.start(trial.trial, 10.0)
            campaign.finish(trial.trial, example_result(bits + seed / 100), 16.0)
            if rung is SCALE.rungs[-1]:
                campaign.weights_directory.mkdir(parents=True, exist_ok=True)
                (campaign.weights_directory / f"{trial.key}.pt").write_bytes(b"weights")
