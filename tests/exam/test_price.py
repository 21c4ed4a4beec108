import pytest

from palmette.errors import UserError
from palmette.exam.price import Spread, price, require_seeds
from palmette.exam.recipe import looking
from palmette.ladder.statistics import power_of
from tests.exam.held import tiny
from tests.exam.made import entry, hypothesis
from tests.ladder.made import Made, candidate

SPREAD = Spread(0.02, True, None, "made up")
ENTRIES = (
    entry("found", "candidate"),
    entry("gpt2"),
    entry("gpt2 x2", expression="lm(gpt2)", stretch=2.0, matches="found"),
    entry("gpt2 tuned", "tuned", expression="lm(gpt2)", baseline="gpt2"),
    entry("placebo", "placebo", expression="lm(gpt2)", replica=1),
)
ASKED = (hypothesis(alpha=0.02), hypothesis(number=2, alpha=0.01))


def test_trials_are_those_of_every_look_and_of_the_tuning_that_is_left():
    recipe = tiny()
    below, last = 2 + 2, 2 + 6  # rates and seeds
    told = price(ENTRIES, ASKED, recipe, 30, [], SPREAD)
    assert told.trials == 3 * below + 5 * last + 30
    assert told.worker_seconds is None
    assert told.alpha == 0.01


def test_seconds_go_by_tokens_and_parameters():
    recipe, made = tiny(), Made()
    who = candidate("aaaaaaaa")
    trial = made.trial(who, 0, 0.5)
    work = trial.spec.tokens * trial.result.parameters
    each = trial.result.wall_seconds / work
    told = price(ENTRIES[:1], ASKED, recipe, 10, [trial], SPREAD)
    first, last = recipe.rungs
    wanted = each * (4 * first.tokens * first.parameters + 8 * last.tokens * last.parameters)
    assert told.worker_seconds == pytest.approx(wanted + 10 * trial.result.wall_seconds)
    longer = price(ENTRIES[:3], ASKED, recipe, 0, [trial], SPREAD)
    assert longer.worker_seconds == pytest.approx(4 * wanted)


def test_what_it_can_detect_is_found_with_the_power_that_is_told():
    recipe = tiny()
    told = price(ENTRIES, ASKED, recipe, 0, [], SPREAD)
    level = told.alpha * recipe.shares[-1]
    found = power_of(told.detectable, told.noise, recipe.seeds, level, paired=True)
    assert found == pytest.approx(told.power, abs=1e-6)
    unknown = price(ENTRIES, ASKED, recipe, 0, [], Spread(None, True, None, "nowhere"))
    assert (unknown.noise, unknown.detectable) == (None, None)


@pytest.mark.parametrize("paired", [True, False])
def test_the_number_of_seeds_that_is_told_will_do_and_no_fewer(paired):
    with pytest.raises(UserError, match="2 seeds are too few for any verdict") as told:
        require_seeds(looking(tiny(), (2,)), 1e-3, paired)
    enough = int(str(told.value).partition("give --looks ")[2].partition(",")[0])
    require_seeds(looking(tiny(), (enough,)), 1e-3, paired)
    with pytest.raises(UserError, match=f"give --looks {enough},"):
        require_seeds(looking(tiny(), (enough - 1,)), 1e-3, paired)
