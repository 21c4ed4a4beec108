"""A verdict is never told without what it rests on."""

import re

import pytest

from palmette.exam.judge import judge
from palmette.exam.sentence import number, spanned
from palmette.records import Span
from tests.exam import made
from tests.exam.made import drawn, entry, first, hypothesis, sat

BETTER = {"found": 0.44, "gpt2": 0.30, "deltanet": 0.40}
WORSE = BETTER | {"found": 0.2}
TUNED = entry("deltanet tuned", "tuned")
NEVER_WITHOUT = (
    r"\b168,000 parameters",
    r"\b180,224 tokens",
    r"endpoint, the mean score over sealed tasks, is (0\.\d+ \[0\.\d+, 0\.\d+\]|not known)",
    r"(baselines, \w+, [+−]0\.\d+ \[.+, .+\]|the difference from a baseline is not known)",
    r"in the (open|constant-state) league at scale pocket",
    r"found scores (better than|as well as) every human baseline",
    r"p = (\d[\d.e-]*|not known) with alpha = 0\.05",
    r"held-out text",
    r"carr(y|ies)",
)


@pytest.mark.parametrize(
    "held",
    [
        drawn(BETTER, noise=0.001),
        drawn(WORSE),
        first(drawn(BETTER), 4),
        first(drawn(BETTER), 1),
        [],
        [*drawn(BETTER)[:2], sat("deltanet", (), failed=True)],
        [sat("found", (), failed=True), *drawn(BETTER)[1:]],
    ],
    ids=["verified", "hopeless", "open", "one-seed", "nothing", "no-baseline", "no-candidate"],
)
@pytest.mark.parametrize(
    "asked",
    [hypothesis(), hypothesis(league="constant-state"), hypothesis(claim="efficiency")],
    ids=["open", "constant-state", "efficiency"],
)
def test_never_without_what_it_rests_on(held, asked):
    sentence = judge(made.plan(hypotheses=(asked,)), held).verdicts[0].sentence
    for pattern in NEVER_WITHOUT:
        assert re.search(pattern, sentence), (pattern, sentence)
    assert "None" not in sentence
    assert "nan" not in sentence


def test_how_a_verdict_reads():
    plan = made.plan((*made.ENTRIES, TUNED))
    held = drawn(BETTER | {TUNED.label: 0.41}, noise=0.001)
    sentence = judge(plan, held).verdicts[0].sentence
    assert sentence == (
        "Verified in the open league at scale pocket on draw 1: found scores better than every "
        "human baseline that sat (gpt2, deltanet). With 168,000 parameters and 180,224 tokens its "
        "endpoint, the mean score over sealed tasks, is 0.4407 [0.4358, 0.4456] over 4 seeds; less "
        "that of the strongest of 2 baselines, deltanet, +0.0390 [+0.0362, +0.0417]; p = 0.00033 "
        "with alpha = 0.05 at look 1 of 3. On held-out text it takes −0.002 [−0.014, +0.010] bits "
        "per byte beside deltanet, within the margin of 0.05. Baselines tuned on the search's own "
        "tasks are beaten too: structural. Whether the advantage carries over the rungs is not "
        "told."
    )


def test_how_a_refusal_reads():
    sentence = judge(made.plan(), drawn(WORSE)).verdicts[0].sentence
    assert sentence.startswith(
        "Not verified in the open league at scale pocket on draw 1, that found scores better than "
        "every human baseline that sat (gpt2, deltanet): that is not shown against 2 of 2 "
        "baselines after 4 seeds, and further ones are hopeless. With 168,000"
    )


def test_numbers_have_the_digits_that_their_interval_leaves():
    assert number(1.23456, 0.1) == "1.23"
    assert number(-0.00001, 0.01) == "0.000"
    assert number(12.0, 30.0) == "12"
    assert spanned(Span(value=-0.001, low=-0.011, high=0.009), True) == "−0.001 [−0.011, +0.009]"
