"""Packs in a search, with made-up trials: who runs with whom, what is chosen once, what is lost."""

from collections import Counter
from dataclasses import replace

import pytest

from palmette.errors import StorageError, UserError
from palmette.ladder.results import ascents, score_at
from palmette.model import atlas
from palmette.ops.kernels.native.library import unavailable
from palmette.search.book import ATTEMPTS
from palmette.search.budget import Budget
from palmette.search.grow import grow
from palmette.search.manner import Ask
from palmette.search.packing import choose_for
from palmette.search.start import Plan, open_campaign, prepare, schedule
from palmette.store import Store
from palmette.train.executor import Inline
from palmette.train.pack_choice import Choice, Shape, choose
from tests.search.test_scheduler import facts, made_up

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no C++ compiler")


@pytest.fixture(scope="module")
def ground():
    made = prepare(Plan(suite="parity", kernel="native", packed=True))
    scale = replace(made.scale, baselines=("gpt2", "mamba2"), patience=4, gate=0.0)
    return replace(made, scale=scale)


class Runs:
    """A runner of packs that keeps which trials it was given together; `before` may raise."""

    def __init__(self, before=lambda members: None):
        self.packs = []
        self.before = before

    def __call__(self, spec, weights, tell):
        self.packs.append([spec])
        self.before([spec])
        return made_up(spec, weights, tell)

    def together(self, members, tell):
        specs = [member.spec for member in members]
        self.packs.append(specs)
        self.before(specs)
        for member in members:
            yield member.spec.key, made_up(member.spec, member.weights, tell)


def run(ground, path, budget, runner, clock=None):
    with Store(f"sqlite:///{path}") as store:
        campaign = open_campaign(store, ground)
        with campaign.lease("test") as lease:
            campaign.requeue_running()
            scheduler = schedule(campaign, ground, Budget.parse(budget), 1)
            if clock:
                scheduler.book._clock, scheduler.book._began = clock, 0.0
            with Inline(runner) as executor:
                grow(scheduler, executor, lease.beat)
        return campaign.candidates(), campaign.trials(), campaign.events()


@pytest.fixture(scope="module")
def whole(ground, tmp_path_factory):
    runner = Runs()
    return *run(ground, tmp_path_factory.mktemp("whole") / "p.db", "8genomes", runner), runner.packs


def test_trials_of_one_genome_and_rung_run_together(ground, whole):
    candidates, trials, _, packs = whole
    assert {trial.state for trial in trials} == {"done"}
    assert sum(map(len, packs)) == len(trials)
    for specs in packs:
        assert len({(spec.genome, spec.replica, spec.rung) for spec in specs}) == 1
        assert {spec.kernel for spec in specs} == {"native-packed"}
    sizes = Counter((specs[0].rung, len(specs)) for specs in packs)
    assert sizes["1", 3] == len(candidates)  # every sweep; steps past its edge are alone
    assert sizes["2", 2]
    assert sizes["3", 2]
    assert not sizes["3", 1]
    climbers = ascents(candidates, trials, ground.scale)
    assert all(score_at(climber, 0, ground.scale) for climber in climbers)


def killed(ground, path, budget, stop):
    runner = Runs()

    def dies(specs):
        if len(runner.packs) > stop:
            raise KeyboardInterrupt

    runner.before = dies
    with pytest.raises(KeyboardInterrupt):
        run(ground, path, budget, runner)


def test_the_same_tree_killed_or_not(ground, whole, tmp_path):
    for stop in (3, 1, 9, 10):
        killed(ground, tmp_path / "p.db", "8genomes", stop)
    candidates, trials, _ = run(ground, tmp_path / "p.db", "8genomes", Runs())
    assert facts(candidates, trials) == facts(*whole[:2])


def test_the_same_tree_if_it_is_killed_at_the_last_proposal(ground, tmp_path):
    wanted = facts(*run(ground, tmp_path / "whole.db", "2genomes", Runs())[:2])
    for stop in range(4, 7):  # in the sweep of the last proposal, and around it
        path = tmp_path / f"{stop}.db"
        killed(ground, path, "2genomes", stop)
        assert facts(*run(ground, path, "2genomes", Runs())[:2]) == wanted


def test_members_of_a_lost_pack_are_tried_again_by_themselves(ground, whole, tmp_path):
    def too_large(specs):
        if len(specs) == 3:
            raise MemoryError

    runner = Runs(too_large)
    candidates, trials, events = run(ground, tmp_path / "p.db", "8genomes", runner)
    assert facts(candidates, trials)[0] == facts(*whole[:2])[0]
    assert {trial.state for trial in trials} == {"done"}
    swept = [trial for trial in trials if trial.attempts == 2]
    assert len(swept) == 3 * len(candidates)
    lost = [specs for specs in runner.packs if len(specs) == 3]
    keys = {spec.key for specs in lost for spec in specs}
    assert keys == {trial.key for trial in swept}
    assert sum(len(specs) == 1 and specs[0].key in keys for specs in runner.packs) == len(swept)
    assert sum(event.kind == "worker lost" for event in events) == len(swept)


def test_a_trial_that_is_lost_each_time_is_given_up(ground, tmp_path):
    def lost(specs):
        raise MemoryError

    runner = Runs(lost)
    _, trials, _ = run(ground, tmp_path / "p.db", "1genomes", runner)
    assert {trial.state for trial in trials} == {"failed"}
    assert {trial.attempts for trial in trials} == {ATTEMPTS}


def test_a_pack_is_cut_to_the_time_that_is_left(ground, tmp_path):
    now = 0.0

    def slow(specs):
        nonlocal now
        now += sum(ground.scale.rungs[0].expected_seconds for _ in specs)

    runner = Runs(slow)
    seconds = 10 * ground.scale.rungs[0].expected_seconds
    run(ground, tmp_path / "p.db", f"{seconds:g}s", runner, lambda: now)
    assert now <= seconds
    assert sum(map(len, runner.packs)) >= 6


def test_the_choice_is_made_once_and_kept(tmp_path):
    asked = []

    def choice(packed):
        def made(root, scale, context, kernel):
            asked.append((root.text, scale.name, context, kernel))
            return Choice(packed, 1.5, "made up")

        return made

    ground = prepare(Plan(suite="parity", kernel="native"))
    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        campaign = open_campaign(store, ground, ask=Ask(choice(True)))
        assert campaign.config.packed
        again = open_campaign(store, ground, ask=Ask(choice(False)))
        assert again.config.packed
        (event,) = [e for e in again.events() if e.kind == "packing chosen"]
        assert event.detail == {"packed": True, "gain": 1.5, "reason": "made up"}
        book = schedule(again, ground, Budget.parse("1genomes"), 1).book
        assert {trial.spec.kernel for trial in book.queued()} == {"native-packed"}
        with pytest.raises(StorageError, match="packed"):
            open_campaign(store, prepare(Plan(suite="parity", kernel="native", packed=False)))
    assert asked == [(atlas.load("deltanet").text, "pocket", ground.context, "native")]


def test_without_a_choice_and_with_torch_nothing_is_packed(tmp_path):
    with Store(f"sqlite:///{tmp_path / 'p.db'}") as store:
        plain = open_campaign(store, prepare(Plan("a", suite="parity", kernel="native")))
        assert not plain.config.packed
        torch = prepare(Plan("b", suite="parity", kernel="torch"))
        assert not open_campaign(store, torch, ask=Ask(choose_for)).config.packed
        wanted = prepare(Plan("c", suite="parity", kernel="torch", packed=True))
        with pytest.raises(UserError, match="torch kernels are not packed; take --kernel native"):
            open_campaign(store, wanted)


def test_packs_are_measured_where_they_can_be():
    found = choose(Shape(atlas.load("llama"), 10_000, 1, 16, 16), members=2, steps=100)
    assert found.gain is not None
    assert found.packed == (found.gain >= 1.1)
    assert "times as fast in packs of 2" in found.reason
    large = choose(Shape(atlas.load("llama"), 10_000, 8, 128, 128), members=2, steps=100)
    assert large == Choice(False, None, "a step has more than 512 tokens")
    looped = choose(Shape(atlas.load("ebt"), 10_000, 1, 16, 16), members=2, steps=100)
    assert (looped.packed, looped.gain) == (False, None)
    assert "differentiates its parts itself" in looped.reason
