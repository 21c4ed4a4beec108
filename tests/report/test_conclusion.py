"""What a study says in words, and that it never says more than its intervals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palmette.records import Span, Study
from palmette.report import concluded
from tests.report.make_study import made_up_study


def span(low: float, high: float) -> Span:
    return Span(value=(low + high) / 2, low=low, high=high)


BASE = made_up_study(("llm", "evolution"), seeds=1, each=6)
FEW = (span(-0.02, 0.03), span(-0.01, 0.01), span(-0.01, 0.02), span(-0.03, 0.01))


def study(*against: Span | None, **changes) -> Study:
    """A study of four arms of a model against evolution, with these differences."""
    arms = [
        arm.model_copy(update={"against": found, "per_1000_tokens": found})
        for arm, found in zip(BASE.arms, (*against, None), strict=True)
    ]
    return BASE.model_copy(update={"arms": tuple(arms), **changes})


def words(found: Study) -> str:
    told = concluded(found)
    return " ".join([told.headline, *told.sentences])


def test_no_interval_excludes_the_reference():
    told = concluded(study(*FEW))
    assert told.headline == "No arm is told apart from evolution"
    assert told.sentences[0] == (
        "No arm's interval excludes a gain per trial equal to that of evolution. That does not "
        "show that they are equal: differences from −0.030 to +0.030 still fit."
    )
    assert "For no arm is it sure that tokens bought any gain." in told.sentences


def test_more_and_less_are_told_with_the_odds_of_luck():
    told = concluded(study(span(0.01, 0.03), span(-0.03, -0.01), *FEW[2:]))
    assert told.headline == (
        "llm gained more per trial than evolution; "
        "llm-without-knowledge gained less per trial than evolution"
    )
    assert told.sentences[0] == (
        "More gain per trial than evolution: llm (+0.020 ± 0.010). Less gain per trial than "
        "evolution: llm-without-knowledge (−0.020 ± 0.010). The other 2 arms are not told apart "
        "from it."
    )
    assert "in up to 20 % of studies" in told.sentences[1]
    assert "Tokens bought a gain for llm." in told.sentences


@pytest.mark.parametrize(
    ("found", "wording"),
    [
        (study(*FEW), "This is a single seed: genomes that share a parent share its noise"),
        (study(None, None, None, None), "It is too early to tell"),
        (study(None, None, None, None), "that takes two genomes of both"),
        (study(None, None, None, None, seeds=(0, 1)), "that takes two seeds of both"),
        (study(*FEW, reference=None), "what a model adds cannot be told; grow an arm that asks"),
        (study(*FEW, noise_best=None), "beat luck cannot be told: no placebo has a score"),
        (study(*FEW, noise_best=span(9, 10)), "luck alone could explain every one of them"),
        (study(*FEW, noise_best=span(-9, -8)), "llm-without-either and evolution lies above what"),
        (study(*FEW, compared=4), "not complete: all arms have 4 of 6 genomes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_concluded_is_said(found, wording):
    assert wording in words(found)


def test_several_seeds_need_no_warning_of_a_single_one():
    assert "single seed" not in words(study(*FEW, seeds=(0, 1, 2)))


def test_an_arm_without_genomes_takes_no_part():
    first, *rest = study(*FEW).arms
    empty = first.model_copy(update={"genomes": 0, "against": None})
    told = words(BASE.model_copy(update={"arms": (empty, *rest)}))
    assert "llm has no trained genome, and no part in any comparison." in told
    nothing = [arm.model_copy(update={"genomes": 0, "against": None}) for arm in BASE.arms]
    told = words(BASE.model_copy(update={"arms": tuple(nothing), "compared": 0}))
    assert told.startswith("Nothing has been measured yet")


def test_an_unknown_price_is_said():
    arms = [arm.model_copy(update={"per_usd": None}) for arm in study(*FEW).arms]
    found = BASE.model_copy(update={"arms": tuple(arms)})
    assert "What money bought cannot be told, for no price is known." in words(found)


places = st.floats(-1, 1, allow_nan=False)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(places, places), min_size=4, max_size=4))
def test_more_or_less_is_claimed_only_where_zero_is_excluded(ends):
    spans = [span(min(pair), max(pair)) for pair in ends]
    headline = concluded(study(*spans)).headline
    assert ("more" in headline) == any(one.low > 0 for one in spans)
    assert ("less" in headline) == any(one.high < 0 for one in spans)
