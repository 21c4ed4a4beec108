"""`palmette compare`: its price, leagues, the reference at equal FLOPs, every rung."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from palmette.cli import compare as compare_command
from palmette.errors import UserError
from palmette.ladder.scales import Scale, scale
from palmette.model import parse
from palmette.records import TrialResult, TrialSpec
from palmette.search.legs import cost_of, known_noise, known_pairing, legs, require_alike
from palmette.store import Store
from palmette.testing.example_records import example_config
from palmette.train.executor import Inline, Progress
from palmette.train.loop import run_trial

Run = Callable[..., Result]
TWO = ("deltanet", "gpt2")


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(name: str) -> Scale:
        whole = scale("seedling")
        rungs = [
            replace(rung, tokens=256, batch_size=1, length=32, evaluation_tokens=128)
            for rung in whole.rungs[:2]
        ]
        return replace(whole, rungs=tuple(rungs), learning_rates=(1e-2,))

    monkeypatch.setattr(compare_command, "scale_named", made)
    monkeypatch.setattr(compare_command, "pool_of", lambda *given: Inline(runner))


def runner(spec: TrialSpec, weights: Path | None, tell: Progress) -> TrialResult:
    """Trials in this process: what a pool does has tests of its own."""
    return run_trial(spec, None, weights, tell)


def options(folder: Path, *more: str) -> tuple[str, ...]:
    url = f"sqlite:///{folder / 'palmette.db'}"
    common = ("--rung", "1", "--seeds", "2", "--suite", "recall", "--workers", "1")
    return (*common, "--kernel", "torch", "--storage", url, *more)


def test_the_price_is_told_first_and_leagues_and_matching_beside_the_scores(
    palmette: Run, tmp_path: Path
) -> None:
    result = palmette("compare", *TWO, *options(tmp_path))
    assert result.exit_code == 0, result.stderr
    assert "price: 6 trials, about 1 min of worker time; no earlier result tells" in result.stderr
    assert "constant-state" in result.stdout
    assert "open" in result.stdout
    again = palmette("compare", *TWO, *options(tmp_path, "-f", "json"))
    assert "found with 80% power (noise of an earlier comparison, 1 degrees" in again.stderr
    own, theirs = json.loads(again.stdout)
    assert (own["league"], theirs["league"]) == ("constant-state", "open")
    assert (own["against"], theirs["against"]) == (None, "deltanet")
    assert own["matched"] == "yes"
    assert theirs["flops_train"] > 0
    assert theirs["paired"] is True
    assert theirs["told"] in ("better", "worse", "the same", "not told")
    assert (own["told"], own["paired"]) == (None, None)
    assert "differences are seed by seed" in result.stdout


def test_numbers_stay_when_more_is_asked_for(palmette: Run, tmp_path: Path) -> None:
    before = json.loads(palmette("compare", *TWO, *options(tmp_path, "-f", "json")).stdout)
    asked = ("--carry", "--equal-flops", "-f", "json")
    result = palmette("compare", *TWO, *options(tmp_path, *asked))
    assert result.exit_code == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row for row in rows if row["rung"] == "1"][:2] == before
    assert {row["rung"] for row in rows} == {"1", "2"}
    assert [row["carries"] is not None for row in rows] == [
        (row["rung"], row["against"]) == ("2", "deltanet") for row in rows
    ]
    with Store(f"sqlite:///{tmp_path / 'palmette.db'}", create=False) as store:
        counts = {name: len(store.campaign(name).trials()) for name in store.campaigns()}
    assert sum(counts.values()) == 6 * 2 + 3 * sum("x" in (row["name"] or "") for row in rows)


def test_every_rung_says_what_carries(palmette: Run, tmp_path: Path) -> None:
    result = palmette("compare", *TWO, *options(tmp_path, "--carry"))
    assert result.exit_code == 0, result.stderr
    (line,) = [one for one in result.stdout.splitlines() if "over the rungs: " in one]
    assert line.startswith("gpt2 is ahead of deltanet by ")
    assert line.count(", ") == 1  # two rungs


def test_a_costlier_genome_meets_the_reference_at_equal_flops(
    palmette: Run, tmp_path: Path
) -> None:
    costly = "stack(repeat(3, pre(lin()), pre(glu())))"
    asked = options(tmp_path, "--equal-flops", "-f", "json")
    result = palmette("compare", "deltanet", costly, *asked)
    assert result.exit_code == 0, result.stderr
    plain, own, longer, again = json.loads(result.stdout)
    assert "times the training FLOPs" in own["matched"]
    assert longer["name"].startswith("deltanet x")
    assert longer["against"] is None
    assert longer["flops_train"] == pytest.approx(own["flops_train"], rel=0.15)
    assert again["against"] == longer["name"]
    assert again["genome"] == own["genome"]
    assert again["score"] == own["score"]
    assert again["matched"] == "yes"
    assert again["difference"] == pytest.approx(own["score"] - longer["score"])
    assert plain["score"] != longer["score"]


def test_what_is_not_comparable_is_refused(
    palmette: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert palmette("compare", *TWO, *options(tmp_path)).exit_code == 0
    seeded = palmette("compare", *TWO, *options(tmp_path, "--seed", "3"))
    assert seeded.exit_code == 2
    assert "were compared with the seed 0 (this command says 3)" in seeded.stderr
    monkeypatch.setattr("palmette.search.start.NUMERICS", 99)
    moved = palmette("compare", *TWO, *options(tmp_path))
    assert moved.exit_code == 2
    assert "were compared with numerics 1 (this version has 99)" in moved.stderr
    assert "--storage" in moved.stderr


def test_another_text_is_refused() -> None:
    kept = example_config(kind="compare", corpus="a.txt", suite_digest="a" * 64)
    asked = example_config(kind="compare", corpus="b.txt", suite_digest="b" * 64)
    with pytest.raises(UserError, match=r"the text of a\.txt \(this command reads b\.txt\)"):
        require_alike(kept, asked)
    require_alike(kept, kept)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("gpt2", "gpt2"), "compare wants two different genomes"),
        ((*TWO, "--rung", "3"), "has rungs 1 to 2; --rung 3 is none of them"),
        ((*TWO, "--suite", "mazes"), "mazes"),
    ],
)
def test_mistakes_are_told_and_exit_with_2(
    palmette: Run, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    url = f"sqlite:///{tmp_path / 'palmette.db'}"
    result = palmette("compare", *arguments, "--storage", url)
    assert result.exit_code == 2
    assert told in result.stderr


def test_without_earlier_results_the_calibration_tells_the_noise() -> None:
    recipe = replace(scale("pocket"), suite="text")
    size = replace(recipe.rungs[1], scored=("text",))
    recipe = replace(recipe, rungs=(recipe.rungs[0], size, *recipe.rungs[2:]))
    (leg,) = legs(recipe, [1], 4, [parse("pre(glu())"), parse("pre(mlp())")], False, "text", 128)
    known = known_noise(None, leg, example_config(suite="text"))
    assert known is not None
    noise, source = known
    assert 0 < noise.deviation < 0.1
    assert source == "the calibration, suite text"
    told = cost_of(None, [leg], 4, example_config(suite="text"))
    more = cost_of(None, [leg], 16, example_config(suite="text"))
    assert told.detectable is not None
    assert more.detectable is not None
    assert more.detectable < told.detectable / 2
    assert leg.pairing is not None
    assert not leg.paired  # shared seeds correlate by 0.02
    paired = replace(leg, pairing=None)
    assert cost_of(None, [paired], 4, example_config(suite="text")).detectable > told.detectable
    mixture = known_pairing("pocket", size, "recall", 4)  # another suite stands in for it
    assert mixture is not None
    assert not mixture.pays
    assert known_pairing("pocket", replace(size, name="9"), "text", 4) is None
    unknown = known_noise(None, replace(leg, rung="9"), example_config(suite="text"))
    assert unknown is None
