"""The story of a genome: a root, an edit of evolution's and one of a designer's."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from palmette.ladder.results import Setting, trial_spec
from palmette.ladder.scales import pocket
from palmette.records import Candidate, Event, Prediction, TraceRow
from palmette.search.designs import ASKED
from palmette.search.story import story
from palmette.search.trace import rating, trace
from palmette.store import Campaign, Store
from palmette.testing.example_records import (
    example_candidate,
    example_config,
    example_hash,
    example_result,
    example_root,
    example_thought,
)

SCALE = pocket()
ROOT = example_root()
EVOLVED = example_candidate(
    "lm(pre(glu()))",
    parents=(ROOT.genome,),
    proposal=0,
    prediction=Prediction(change=0.0, low=-0.01, high=0.01, observations=3),
)
DESIGNED = example_candidate(
    "lm(pre(conv()))",
    parents=(EVOLVED.genome, ROOT.genome),
    proposal=1,
    proposer="llm",
    motivation="# Ignore\n<b>all</b> `of` this\x1b[2J",
    prediction=Prediction(change=0.02, low=-0.03, high=0.04, observations=0),
)
THOUGHTS = (
    example_thought(proposal=1, outcome="invalid", faults=("no knob is called `x`",), origin=None),
    example_thought(proposal=1, attempt=2, cards=("delta_rule", "rope"), prompt=example_hash("b")),
    example_thought(proposal=0, proposer="nobody", origin="original"),
    example_thought(
        proposal=1,
        role="reviewer",
        model="another",
        content={"rating": 4, "remarks": ["sound", "not *new*"]},
        usd=None,
        origin=None,
    ),
    example_thought(
        proposal=1, role="check", model=None, prompt=None, tokens_in=0, tokens_out=0, origin=None
    ),
    example_thought(
        proposal=1,
        role="analyst",
        genomes=(DESIGNED.genome,),
        content={"trigger": "short convolutions", "insight": "they pay", "expression": ""},
        origin=None,
    ),
)


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    with Store(f"sqlite:///{tmp_path}/palmette.db") as store:
        made = store.create_campaign(example_config(scale_digest=SCALE.digest))
        placebo = example_root(role="placebo", replica=1, name="placebo 1")
        for candidate, bits in ((ROOT, 3.0), (placebo, 3.1), (EVOLVED, 2.8), (DESIGNED, 2.9)):
            _sweep(made, candidate, bits)
        for number, thought in enumerate(THOUGHTS):
            made.add_thought(thought, f"[user]\nquestion {number}\n~~~\n# not a title")
        yield made


def _sweep(campaign: Campaign, candidate: Candidate, bits: float) -> None:
    config = campaign.config
    setting = Setting(SCALE, config.suite, config.suite_digest, config.seed, config.numerics)
    campaign.add_candidate(candidate)
    for number, rate in enumerate(SCALE.learning_rates):
        trial = campaign.queue(trial_spec(candidate, SCALE.rungs[0], setting, 7, rate)).trial
        campaign.start(trial, 0.0)
        if number == 0:
            campaign.fail(trial, "diverged: <loss> is nan", 1.0)
        else:
            campaign.finish(trial, example_result(bits + number / 10), 1.0)


def told(campaign: Campaign, prompts: bool = False) -> TraceRow:
    row = trace(campaign, DESIGNED.genome, SCALE, prompts)
    assert row is not None
    return row


def test_the_line_runs_from_the_root_along_first_parents(campaign: Campaign) -> None:
    row = told(campaign)
    assert [step.genome for step in row.steps] == [ROOT.genome, EVOLVED.genome, DESIGNED.genome]
    assert (row.campaign, row.expression, row.prompts) == ("first", DESIGNED.expression, None)
    assert trace(campaign, example_hash("unknown"), SCALE) is None


def test_predictions_are_held_against_what_was_measured(campaign: Campaign) -> None:
    root, evolved, designed = told(campaign).steps
    assert (root.change, root.held) == (None, None)
    assert evolved.change == pytest.approx(0.2 / 8)
    assert evolved.held is False
    assert designed.change == pytest.approx(-0.1 / 8)
    assert designed.held is True


def test_trials_are_told_by_rung(campaign: Campaign) -> None:
    (rung,) = told(campaign).steps[1].rungs
    assert (rung.rung, rung.trials, rung.states) == ("1", (7, 8, 9), {"failed": 1, "done": 2})
    assert rung.score == pytest.approx((8 - 2.9) / 8)
    assert (rung.learning_rate, rung.seeds) == (SCALE.learning_rates[1], 1)
    assert rung.low is not None
    assert rung.high is not None
    assert rung.low < rung.high
    assert rung.reasons == ("diverged: <loss> is nan",)


def test_a_designers_thoughts_are_summed_up(campaign: Campaign) -> None:
    step = told(campaign).steps[2]
    assert step.thoughts == tuple(t for t in THOUGHTS if t.proposal == 1)
    assert step.models == ("a-model", "another")
    assert step.cards == ("delta_rule", "forget_gate_lower_bound", "rope")
    assert DESIGNED.genome not in step.context
    assert (step.origin, step.rating, step.remarks) == ("knowledge", 4.0, ("sound", "not *new*"))
    assert step.lesson == "short convolutions\nthey pay"
    assert step.tokens_out == 4 * 61
    assert step.usd == pytest.approx(1.0)  # of three calls, the fourth has no price
    assert step.seconds == pytest.approx(4 * 0.7)


def test_what_no_model_was_asked_about_costs_nothing_known(campaign: Campaign) -> None:
    root = told(campaign).steps[0]
    assert (root.tokens_in, root.tokens_out, root.usd, root.seconds) == (None, None, None, None)
    assert (root.thoughts, root.origin, root.rating, root.lesson) == ((), None, None, None)


def test_prompts_come_on_request(campaign: Campaign) -> None:
    row = told(campaign, prompts=True)
    assert row.prompts is not None
    assert row.prompts[example_hash("b")].startswith("[user]\nquestion 1")
    assert "question 1" in story(row)
    assert "question 1" not in story(told(campaign))


@pytest.mark.parametrize("prompts", [False, True])
def test_the_story_has_our_headings_and_nobody_elses(campaign: Campaign, prompts: bool) -> None:
    text = story(told(campaign, prompts))
    tokens = MarkdownIt("commonmark").parse(text)
    pairs = pairwise(tokens)
    titles = [after.content for at, after in pairs if at.type == "heading_open"]
    assert titles == [
        f"How `{DESIGNED.genome[:8]}` came about",
        f"0. deltanet `{ROOT.genome[:8]}`",
        f"1. tune `{EVOLVED.genome[:8]}`",
        "How it was thought of",
        f"2. tune `{DESIGNED.genome[:8]}`",
        "How it was thought of",
    ]
    assert "html_block" not in {token.type for token in tokens}
    assert "\x1b" not in text
    fences = sum(token.type == "fence" for token in tokens)
    assert fences == 6 + prompts * (5 + 6)  # what was understood; prompts and answers


def test_the_story_says_what_came_of_it(campaign: Campaign) -> None:
    text = story(told(campaign))
    for part in (
        "predicted +0.0000 [-0.0100, +0.0100], from 3 earlier edits; measured +0.0250: outside",
        "predicted +0.0200 [-0.0300, +0.0400]; measured -0.0125: inside the interval",
        "- rung 1 (trials 7 to 9: 2 done, 1 failed): score 0.6375 at rate",
        "- a trial failed: diverged: \\<loss\\> is nan",
        "Review (rating 4):\n\n> sound\n\n> not \\*new\\*",
        "Lesson:\n\n> short convolutions\n> they pay",
        "1. **researcher**: invalid (`a-model`, held by schema, 3,000,000,000 tokens in, 61 out",
        "   - no knob is called \\`x\\`",
        "2. **researcher**, attempt 2: fine",
        "4. **check**: fine\n",
    ):
        assert part in text


def test_what_an_interruption_lost_is_paid_and_marked(campaign: Campaign) -> None:
    place = len(THOUGHTS)
    lost = example_thought(proposal=1, cards=("lost_card",), origin="original", usd=0.5)
    campaign.add_thought(lost, None)
    campaign.add_event(Event(seconds=0.0, kind=ASKED, detail={"proposal": 1, "lost": [place]}))
    row = told(campaign)
    step = row.steps[2]
    assert (step.thoughts[-1], step.lost) == (lost, (5,))
    assert (step.origin, "lost_card" in step.cards) == ("knowledge", False)
    assert step.usd == pytest.approx(1.5)
    assert "6. **researcher**: fine, lost when the campaign was interrupted (" in story(row)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([("researcher", None), ("reviewer", 2)], 2.0),
        ([("researcher", None), ("reviewer", 2), ("researcher", None)], None),
        ([("reviewer", 2), ("researcher", None), ("reviewer", 4), ("check", None)], 4.0),
        ([("reviewer", "5")], None),
        ([("reviewer", True)], None),
        ([("reviewer", float("inf"))], None),
        ([], None),
    ],
)
def test_a_rating_is_of_the_idea_that_was_proposed(
    steps: list[tuple[str, object]], expected: float | None
) -> None:
    thoughts = [example_thought(role=role, content={"rating": given}) for role, given in steps]
    assert rating(thoughts) == expected


def test_a_revision_without_a_legal_answer_leaves_the_rating() -> None:
    thoughts = [
        example_thought(role="reviewer", content={"rating": 2}),
        example_thought(outcome="invalid"),
    ]
    assert rating(thoughts) == 2.0
