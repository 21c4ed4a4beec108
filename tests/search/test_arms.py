"""Studies with a scripted model and made-up trials: the arms, and what is read of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from palmette.cli._study_table import markdown
from palmette.designer.endpoint import Answer, CallError, Request
from palmette.designer.money import Ledger, ModelBudget, Price
from palmette.designer.session import Studio
from palmette.errors import UserError
from palmette.ladder.results import score_at
from palmette.records import DesignerConfig, Study
from palmette.search.arms import (
    arms,
    existing,
    finished,
    found_in,
    genomes_each,
    grow_arms,
    models_budget_each,
)
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.grow import Update
from palmette.search.scheduler import Scheduler
from palmette.search.start import Ground, Plan, prepare
from palmette.search.study import outcomes, studied
from palmette.store import Campaign, Store
from palmette.testing.scripted import Scripted
from palmette.testing.scripted_designer import legal
from palmette.train.executor import Inline
from tests.search.test_scheduler import made_up

NAMES = ("llm", "evolution")
LLM_ARMS = ("llm", "llm-without-knowledge", "llm-without-feedback", "llm-without-either")
EACH = 3


@pytest.fixture(scope="module")
def ground() -> Ground:
    designer = DesignerConfig(models=("scripted",), retries=1)
    made = prepare(Plan(name="try", suite="parity", proposers=NAMES, designer=designer))
    scale = replace(
        made.scale, rungs=made.scale.rungs[:2], baselines=(), placebo_every=3, islands=2, patience=4
    )
    return replace(made, scale=scale)


Said = Callable[[str, Request], str | Answer | CallError]


def grown(
    ground: Ground,
    path: Path,
    said: Said = legal,
    stop: int | None = None,
    names: tuple[str, ...] = NAMES,
    seeds: range = range(1),
) -> Study:
    """The study in a store after it was grown, or stopped after so many turns of the loop."""
    own = arms(names)
    turns = iter(range(stop or 10**6))

    def studio(campaign: Campaign) -> Studio:
        assert campaign.config.designer is not None
        prices = {"scripted": Price(1.0, 2.0)}
        return Studio(Scripted(said), campaign.config.designer, Ledger(None, prices))

    @contextmanager
    def watch(scheduler: Scheduler) -> Iterator[Callable[[Update], None]]:
        def turn(update: Update) -> None:
            if next(turns, None) is None:
                raise KeyboardInterrupt

        yield turn

    with Store(f"sqlite:///{path}") as store:
        try:
            grow_arms(
                store, ground, own, seeds, EACH, 1, studio, lambda campaign: Inline(made_up), watch
            )
        except KeyboardInterrupt:
            assert stop is not None
        there = existing(store, "try", own, seeds)
        assert stop or all(finished(campaign, EACH) for campaign in there.values())
        counts = [found_in(campaign) for campaign in there.values()]
        assert max(counts) - min(counts) <= ground.scale.islands
        return studied("try", own, there, seeds, ground.scale, EACH)


@pytest.fixture(scope="module")
def whole(ground: Ground, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    path = tmp_path_factory.mktemp("study") / "p.db"
    return grown(ground, path), path


def test_every_arm_is_a_campaign_with_as_many_genomes(whole: tuple[Study, Path]) -> None:
    found, path = whole
    assert [arm.arm for arm in found.arms] == [*LLM_ARMS, "evolution"]
    assert {arm.genomes for arm in found.arms} == {EACH}
    assert found.compared == EACH
    assert found.reference == "evolution"
    with Store(f"sqlite:///{path}") as store:
        told = {
            name: (c.proposers, c.designer and (c.designer.knowledge, c.designer.feedback))
            for name in store.campaigns()
            for c in [store.campaign(name).config]
        }
        assert told["try.llm-without-feedback"] == (("llm",), (True, False))
        assert told["try.evolution"] == (("evolution",), None)
        shown = {t.cards for t in store.campaign("try.llm-without-either").thoughts()}
        assert shown == {()}


def test_the_figures_come_from_the_store(whole: tuple[Study, Path], ground: Ground) -> None:
    found, path = whole
    assert found.noise is not None
    assert found.noise_best is not None
    assert found.noise_best.low < found.noise_best.value < found.noise_best.high
    for arm in found.arms:
        thinks = arm.knowledge is not None
        assert (arm.tokens > 0) is thinks
        assert (arm.usd or 0.0) > 0 if thinks else arm.usd == 0.0
        assert arm.gain is not None
        assert (arm.against is None) is (arm.arm == "evolution")
        assert (arm.per_1000_tokens is None) is (not thinks)
        assert arm.valid is not None
        assert arm.best is not None
        assert arm.best_span is None  # a single seed
    with Store(f"sqlite:///{path}") as store:
        campaign = store.campaign("try.llm")
        root = Book(campaign, ground.setting).climbers[0]
        first = score_at(root, 0, ground.scale)
        assert first is not None
        scores: dict[str, float | None] = {root.candidate.genome: first.mean}
        own = outcomes(campaign, ground.scale)
        for candidate, outcome in zip(
            [c for c in campaign.candidates() if c.role == "found"],
            [o for o in own if o.tried],
            strict=True,
        ):
            scores[candidate.genome] = outcome.score
            assert outcome.proposal == candidate.proposal
            parent = scores[candidate.parents[0]]
            assert parent is not None
            assert outcome.score is not None
            assert outcome.gain == pytest.approx(outcome.score - parent)
        assert sum(o.tokens for o in own) == sum(
            t.tokens_in + t.tokens_out for t in campaign.thoughts()
        )
    page = markdown(found)
    assert page.count("\n| ") == 2 + len(found.arms)
    assert f"| {EACH} | 0 | 100 % [" in page
    assert Study.model_validate_json(found.model_dump_json()) == found


def test_a_study_that_was_stopped_goes_on_to_the_same_end(
    ground: Ground, whole: tuple[Study, Path], tmp_path: Path
) -> None:
    path = tmp_path / "p.db"
    half = grown(ground, path, stop=60)
    assert 0 < half.compared < EACH
    again = grown(ground, path)
    scores = [[arm.arm, arm.gain, arm.best] for arm in again.arms]
    assert scores == [[arm.arm, arm.gain, arm.best] for arm in whole[0].arms]


def test_a_model_that_never_makes_sense_ends_its_arms_alone(ground: Ground, tmp_path: Path) -> None:
    def nonsense(model: str, request: Request) -> CallError:
        return CallError("unauthorised", "no such key")

    own = arms(NAMES)
    with pytest.raises(AssertionError):  # its arms are not finished
        grown(ground, tmp_path / "p.db", said=nonsense)
    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        there = existing(store, "try", own, range(1))
        found = studied("try", own, there, range(1), ground.scale, EACH)
    rows = {arm.arm: arm for arm in found.arms}
    assert rows["evolution"].genomes == EACH
    assert (rows["llm"].genomes, rows["llm"].gain) == (0, None)
    assert rows["llm"].declined > 0
    assert found.compared == EACH


def test_with_several_seeds_a_seed_is_the_unit(ground: Ground, tmp_path: Path) -> None:
    found = grown(ground, tmp_path / "p.db", names=("random", "evolution"), seeds=range(2))
    other, reference = found.arms
    assert other.campaigns == ("try.random", "try.random.seed-1")
    assert (found.reference, found.seeds, other.genomes) == ("evolution", (0, 1), 2 * EACH)
    assert other.best_span is not None
    assert other.gain is not None
    assert reference.gain is not None
    assert other.against is not None
    assert other.against.value == pytest.approx(other.gain.value - reference.gain.value)


def test_budgets_are_divided() -> None:
    assert genomes_each(Budget.parse("61genomes"), 6) == 10
    with pytest.raises(UserError, match="equally many genomes: give --budget 60genomes, say, and"):
        genomes_each(Budget.parse("10m"), 6)
    with pytest.raises(UserError, match="two genomes or more for each: --budget 12genomes at leas"):
        genomes_each(Budget.parse("11genomes"), 6)
    assert models_budget_each(None, 4) is None
    part = models_budget_each(ModelBudget.parse("2usd"), 4)
    assert part is not None
    assert (part.usd, part.tokens, part.text) == (0.5, None, "2usd in 4 equal parts")
    tokens = models_budget_each(ModelBudget.parse("10k-tokens"), 3)
    assert tokens is not None
    assert tokens.tokens == 3333
