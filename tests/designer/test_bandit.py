import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.designer.bandit import Pull, choose

PULLS = st.builds(Pull, st.none() | st.floats(-1, 1), st.floats(0, 100, allow_subnormal=False))
ARMS = st.dictionaries(st.sampled_from("abcde"), st.lists(PULLS, max_size=8), min_size=1)


def simulated(arms, rounds, seed):
    """Rounds of arms (chance of an improvement, its size, cost), as pulls by name."""
    rng = random.Random(seed)
    pulls = {name: [] for name in arms}
    for _ in range(rounds):
        name = choose(pulls, rng)
        chance, size, cost = arms[name]
        gain = abs(rng.gauss(size, size / 3)) if rng.random() < chance else -0.1
        pulls[name].append(Pull(gain, rng.uniform(0.8, 1.2) * cost))
    return pulls


@pytest.mark.parametrize(
    ("arms", "better"),
    [
        pytest.param({"a": (0.6, 1.0, 1.0), "b": (0.2, 1.0, 1.0)}, "a", id="improves-more-often"),
        pytest.param({"a": (0.4, 1.0, 9.0), "b": (0.4, 1.0, 3.0)}, "b", id="costs-less"),
        pytest.param({"a": (0.4, 2.0, 9.0), "b": (0.4, 1.0, 1.5)}, "b", id="small-and-cheap"),
        pytest.param({"a": (0.3, 9.0, 2.0), "b": (0.9, 0.1, 1.0)}, "a", id="rarer-and-large"),
        pytest.param({"a": (0.0, 1.0, 3.0), "b": (0.3, 1e-6, 5.0)}, "b", id="any-scale"),
    ],
)
def test_the_better_arm_per_cost_gets_most_pulls(arms, better):
    pulls = simulated(arms, rounds=300, seed=1)
    assert len(pulls[better]) > 200, {name: len(found) for name, found in pulls.items()}


def test_every_arm_keeps_being_tried():
    arms = {"good": (0.9, 1.0, 1.0), "bad": (0.05, 0.1, 1.0), "hopeless": (0.0, 1.0, 50.0)}
    early, late = (simulated(arms, rounds, seed=2) for rounds in (300, 900))
    for name in arms:
        assert len(late[name]) > len(early[name]) > 2, name


def test_an_arm_that_has_become_better_is_found():
    rng = random.Random(3)
    pulls = {"was": [Pull(1.0, 1.0)] * 200, "is": [Pull(None, 1.0)] * 200}
    found = []
    for number in range(600):
        found.append(choose(pulls, rng))
        improves = found[-1] == "is" and number > 0
        pulls[found[-1]].append(Pull(1.0 if improves else None, 1.0))
    assert found[-100:].count("is") > 80


def test_an_arm_that_fails_for_nothing_is_not_cheap():
    rng = random.Random(4)
    pulls = {"works": [], "refuses": []}
    for _ in range(200):
        name = choose(pulls, rng)
        works = name == "works"
        gain = rng.choice([0.1, -0.1]) if works else None
        pulls[name].append(Pull(gain, 2.0 if works else 0.0))
    assert len(pulls["refuses"]) < 40


def test_an_arm_that_nobody_tried_is_tried_soon():
    held = {"known": [Pull(0.5, 1.0)] * 30 + [Pull(None, 1.0)] * 30, "new": []}
    assert [choose(held, random.Random(seed)) for seed in range(20)].count("new") > 15


@settings(max_examples=60, deadline=None)
@given(ARMS, st.integers(0, 1000))
def test_the_same_history_and_generator_choose_the_same_arm(arms, seed):
    chosen = choose(arms, random.Random(seed))
    assert chosen in arms
    turned = dict(reversed(arms.items()))
    assert choose(turned, random.Random(seed)) == chosen


@settings(max_examples=40, deadline=None)
@given(ARMS, st.integers(0, 100), st.sampled_from([0.25, 4.0]))
def test_the_unit_of_cost_does_not_matter(arms, seed, unit):
    scaled = {n: [Pull(p.gain, p.cost * unit) for p in pulls] for n, pulls in arms.items()}
    if any(pull.cost for pulls in arms.values() for pull in pulls):
        assert choose(scaled, random.Random(seed)) == choose(arms, random.Random(seed))


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_is_none(cost):
    with pytest.raises(ValueError, match="a cost wants to be finite and at least 0"):
        Pull(0.1, cost)


def test_a_gain_that_is_none():
    with pytest.raises(ValueError, match="a gain wants to be finite or None, got nan"):
        Pull(float("nan"), 1.0)
    with pytest.raises(ValueError, match="at least one arm"):
        choose({}, random.Random(0))
