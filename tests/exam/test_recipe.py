import pytest

from palmette.errors import UserError
from palmette.exam.recipe import ladder_of, looking, recipe_of, shorter, stretched
from palmette.ladder.scales import SCALES, scale
from tests.exam.made import entry, plan


@pytest.mark.parametrize("name", SCALES)
def test_an_exam_has_the_scales_sizes_and_at_least_its_tokens(name):
    ladder, recipe = scale(name), recipe_of(scale(name))
    assert [own.name for own in recipe.rungs] == ["1", "2", "3"]
    for rung, own in zip(ladder.rungs[::-1], recipe.rungs[::-1], strict=False):
        assert (own.parameters, own.length) == (rung.parameters, rung.length)
        assert own.tokens >= rung.tokens
    assert recipe.last.seeds == recipe.looks[-1]
    assert sum(recipe.shares) == pytest.approx(1)


def test_an_exam_of_two_rungs_adds_half_of_the_lower_one():
    assert recipe_of(scale("evening")).rungs == recipe_of(scale("pocket")).rungs


@pytest.mark.parametrize(
    ("looks", "told"), [((), "got none"), ((1, 4), "got 1, 4"), ((6, 6), "got 6, 6")]
)
def test_looks_that_are_none(looks, told):
    with pytest.raises(UserError, match=f"rising numbers of seeds, two or more .* {told}"):
        looking(recipe_of(scale("seedling")), looks)


def test_tokens_may_be_fewer_but_not_none():
    whole = recipe_of(scale("pocket"))
    half = shorter(whole, 0.5)
    assert [rung.tokens * 2 for rung in half.rungs] == [rung.tokens for rung in whole.rungs]
    with pytest.raises(UserError, match="more than no tokens"):
        shorter(whole, 0)


def test_the_ladder_holds_each_rung_once_for_every_stretch():
    made = plan((entry("found", "candidate"), entry("gpt2"), entry("gpt2 x", stretch=1.25)))
    rungs = ladder_of(made).rungs
    assert len({rung.name for rung in rungs}) == len(rungs) == 6
    last = made.rungs[-1]
    assert [rung.tokens for rung in rungs[-2:]] == [last.tokens, round(1.25 * last.tokens)]
    assert stretched(last).name == last.name
