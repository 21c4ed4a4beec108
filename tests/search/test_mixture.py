import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from palmette.designer.bandit import Pull
from palmette.ladder.results import ascents
from palmette.records import Thought
from palmette.search.mixture import by_gain, by_turns, pulls
from tests.ladder.made import SETTING, Made, candidate

names = st.lists(st.sampled_from("abcde"), min_size=1, max_size=5, unique=True)


@given(names, st.integers(1, 4), st.integers(0, 60))
def test_turns_are_rounds_over_the_islands_in_the_order_of_the_names(order, islands, found):
    """What it was before there were designers: found // islands % proposers."""
    asked = Counter()
    for number in range(found):
        chosen = by_turns(order, asked, islands)
        assert chosen == order[number // islands % len(order)]
        assert asked[chosen] % islands == number % islands
        asked[chosen] += 1


@given(names, st.data())
def test_turns_make_good_what_somebody_missed(order, data):
    asked = Counter()
    for _ in range(40):
        able = data.draw(st.lists(st.sampled_from(order), min_size=1, unique=True))
        asked[by_turns([name for name in order if name in able], asked, 1)] += 1
    for _ in range(40 * len(order)):
        asked[by_turns(order, asked, 1)] += 1
    assert max(asked.values()) - min(asked.values()) <= 1


def thought(proposal, seconds):
    return Thought(
        proposal=proposal, proposer="llm", role="researcher", outcome="fine", seconds=seconds
    )


def test_a_pull_is_a_gain_over_the_parent_and_the_seconds_that_it_cost():
    made = Made()
    root = candidate("a", "root")
    better = candidate("b", proposal=0, proposer="evolution", parents=(root.genome,))
    worse = candidate("c", proposal=2, proposer="llm", parents=(better.genome,))
    failed = candidate("d", proposal=3, proposer="llm", parents=(root.genome,))
    going = candidate("e", proposal=4, proposer="evolution", parents=(root.genome,))
    trials = [*made.sweep(root, 0.5), *made.sweep(better, 0.7), *made.sweep(worse, 0.6)]
    trials += [made.trial(failed, 0, None), made.trial(going, 0, None, state="running")]
    climbers = ascents([root, better, worse, failed, going], trials, SETTING.scale)
    worked = sum(2.0 for trial in made.sweep(better, 0.7))
    thoughts = [thought(2, 1.0), thought(2, 0.5), thought(1, 4.0)]
    found = pulls(climbers, {1: "llm"}, thoughts, SETTING.scale)
    (gained,) = found["evolution"]
    assert abs(gained.gain - 0.2) < 1e-9
    assert gained.cost == worked
    declined, lost, nothing = found["llm"]
    assert declined == Pull(None, 4.0)
    assert abs(lost.gain + 0.1) < 1e-9
    assert lost.cost == worked + 1.5
    assert nothing == Pull(None, 0.0)


def test_a_bandit_takes_whoever_gains_more_for_less():
    seen = {"evolution": [Pull(0.1, 1.0)] * 30, "llm": [Pull(0.1, 20.0)] * 30}
    drawn = Counter(by_gain(["evolution", "llm"], seen, random.Random(seed)) for seed in range(100))
    assert drawn["evolution"] > 80
    assert by_gain(["llm"], seen, random.Random(0)) == "llm"
