import pytest

import palmette
from palmette.exam.entrants import Named
from palmette.exam.tuning import ground_of, trials_left, tune, tuned_from, tuning_trials
from palmette.ladder.scales import scale
from palmette.model import atlas
from palmette.store import Store
from tests.exam.held import inline, tiny, trained

GPT2 = Named(atlas.load("gpt2"), "gpt2")


def shape(genome):
    return [type(node).__name__ for _, node in genome.root.walk()]


def ground(store):
    return ground_of(store.campaign("main").config, scale("seedling"), None, GPT2)


def run(store, number, runner):
    tune(store, [ground(store)], number, 1, inline(runner))
    return store.campaign("main-tune-gpt2")


@pytest.fixture
def store(path):
    with Store(f"sqlite:///{path}") as opened:
        yield opened


def test_a_baseline_is_tuned_within_its_trials_and_its_structure_stays(store):
    assert trials_left(store, "main", [GPT2], 24) == 24
    campaign = run(store, 24, trained())
    assert campaign.config.kind == "tune"
    assert store.latest().config.name == "main"
    trials, found = campaign.trials(), campaign.candidates()
    assert 18 <= len(trials) <= 24
    assert trials_left(store, "main", [GPT2], 24) == 24 - len(trials)
    assert [c.role for c in found] == ["root"] + ["found"] * (len(found) - 1)
    for candidate in found:
        assert shape(palmette.parse(candidate.expression)) == shape(GPT2.genome)


def test_killed_it_goes_on_and_done_it_is_left_alone(store, path):
    count = 0

    def dies(spec, weights, tell):
        nonlocal count
        count += 1
        if count > 5:
            raise KeyboardInterrupt
        return trained()(spec, weights, tell)

    with pytest.raises(KeyboardInterrupt):
        run(store, 12, dies)
    done = run(store, 12, trained()).trials()

    def nothing(spec, weights, tell):
        raise AssertionError("there is nothing left to do")

    assert run(store, 12, nothing).trials() == done


def test_what_is_tuned_is_the_default_unless_something_is_better(store):
    root = GPT2.genome.hash
    run(store, 14, trained({root}))
    assert tuned_from(store, ground(store), tiny(), 128) == GPT2.genome
    campaign = store.campaign("main-tune-gpt2")
    others = {c.genome for c in campaign.candidates()} - {root}
    assert others, "something was tried"
    assert len(campaign.trials()) <= 14


def test_a_better_setting_is_taken(store):
    def others(spec, weights, tell):
        better = set() if spec.genome == GPT2.genome.hash else {spec.genome}
        return trained(better)(spec, weights, tell)

    run(store, 14, others)
    found = tuned_from(store, ground(store), tiny(), 128)
    assert found != GPT2.genome
    assert shape(found) == shape(GPT2.genome)


def test_nothing_is_shared_by_nobody():
    assert tuning_trials(100, 0) == 0
