"""Proposers side by side, on the made-up campaign and on one small enough to count by hand."""

from dataclasses import replace

import plotly.graph_objects as go
import pytest

from palmette.records import Event, Prediction
from palmette.report import ReportData, figures, render
from palmette.report.who import Row, proposed
from palmette.search.designs import DECLINED
from palmette.testing.example_records import example_candidate, example_root, example_thought
from tests.report.designers import designed
from tests.report.make_example import without_results
from tests.report.test_page import outline, words

ROOT = example_root()
RISES = Prediction(change=0.1, low=0.0, high=0.2, observations=0)


@pytest.fixture(scope="module")
def mixed(data) -> ReportData:
    return designed(data)


@pytest.fixture
def small(data) -> ReportData:
    """Root 0.5; evolution's two gain 0.1 and lose 0.1; a designer's gains 0.2; one was declined."""
    scores = {ROOT: 0.5}
    for number, (proposer, score) in enumerate(
        [("evolution", 0.6), ("evolution", 0.4), ("llm", 0.7)]
    ):
        kid = example_candidate(
            f"lm(pre(glu(ratio={number})))",
            proposer=proposer,
            proposal=number,
            parents=(ROOT.genome,),
            prediction=None if proposer == "llm" else RISES,
        )
        scores[kid] = score
    fields = {"genome", "expression", "replica", "role", "name", "parents", "edit", "edit_text",
              "proposer", "motivation", "prediction"}  # fmt: skip
    rows = [
        data.tree[0].model_copy(
            update={**{name: getattr(held, name) for name in fields}, "score": score}
        )
        for held, score in scores.items()
    ]
    shared = {"tokens_in": 100, "tokens_out": 10, "origin": None}
    thoughts = [
        example_thought(proposal=2, **shared, content={"thought": "hm"}),
        example_thought(proposal=2, **shared, outcome="invalid", faults=("no",), content={}),
        example_thought(proposal=2, **{**shared, "origin": "knowledge"}, attempt=2),
        example_thought(proposal=3, **shared, outcome="failed", answer=None, usd=None),
        example_thought(proposal=2, **shared, role="analyst", model="another"),
    ]
    detail = {"proposal": 3, "proposer": "llm", "reason": "no server there", "silent": True}
    return replace(
        without_results(data),
        candidates=list(scores),
        tree=rows,
        thoughts=thoughts,
        events=[Event(seconds=1.0, kind=DECLINED, detail=detail)],
    )


def rows(data: ReportData) -> dict[str, Row]:
    who = proposed(data)
    assert who is not None
    return {"/".join([row.proposer, *row.models * row.part]): row for row in who.rows}


def test_a_campaign_of_one_proposer_without_models_has_no_section(data):
    assert proposed(data) is None
    assert "Who proposed" not in words(render(data))


def test_gains_are_counted_by_proposer(small):
    evolution = rows(small)["evolution"]
    assert (evolution.proposals, evolution.declined, evolution.gain.measured) == (2, 0, 2)
    assert evolution.gain.mean == pytest.approx(0.0)
    assert evolution.gain.high == pytest.approx(12.7062 * 0.1, rel=1e-4)  # t with one degree
    assert evolution.best == 0.6
    assert (evolution.predicted, evolution.held.value) == (2, 0.5)
    assert (evolution.models, evolution.legal, evolution.tokens_in, evolution.usd) == (
        (), None, None, None,
    )  # fmt: skip


def test_a_designer_is_told_with_what_came_to_nothing(small):
    llm = rows(small)["llm"]
    assert (llm.proposals, llm.nothing) == (2, (("the endpoint did not answer", 1),))
    assert (llm.gain.measured, llm.gain.low) == (1, None)
    assert llm.gain.mean == pytest.approx(0.2)
    assert (llm.ideas, llm.legal.value) == (1, 0.0)  # the second attempt repaired the only one
    assert llm.held is None
    assert (llm.tokens_in, llm.tokens_out) == (500, 50)
    assert llm.usd == pytest.approx(4 / 3)


def test_an_analyst_of_another_model_is_paid_and_proposes_nothing(small):
    another = rows(small)["llm/another"]
    assert (another.proposals, another.ideas, another.legal) == (0, 0, None)
    assert (another.gain.measured, another.gain.mean, another.best) == (0, None, None)
    assert another.tokens_in == 100


def test_origins_are_of_ideas_that_became_genomes(small):
    who = proposed(small)
    assert [(source.origin, source.ideas) for source in who.sources] == [
        ("knowledge", 1),
        ("experience", 0),
        ("original", 0),
    ]
    assert who.sources[0].gain.mean == pytest.approx(0.2)
    assert who.sources[1].gain.mean is None


def test_a_few_reviews_say_nothing(small):
    rated = example_thought(proposal=2, role="reviewer", content={"rating": 5})
    who = proposed(replace(small, thoughts=[*small.thoughts, rated]))
    assert (who.reviewed, who.review) == (1, None)


def test_models_add_up_to_their_proposer(mixed):
    told = rows(mixed)
    parts = [told["llm/a-large-model"], told["llm/a-small-model"]]
    for field in ("proposals", "declined", "ideas", "predicted", "tokens_in", "tokens_out"):
        assert sum(getattr(part, field) for part in parts) == getattr(told["llm"], field)
    assert parts[1].usd is None
    assert parts[0].usd == told["llm"].usd
    found = [row for row in mixed.tree if row.role == "found"]
    assert told["evolution"].proposals + told["llm"].proposals == len(found) + 4


def test_enough_reviews_are_compared(mixed):
    who = proposed(mixed)
    assert who.reviewed >= 10
    assert -1 <= who.review.low < who.review.value < who.review.high <= 1


def test_the_page_shows_it(mixed):
    page = render(mixed)
    assert outline(page).open == []
    text = words(page)
    for part in (
        "Who proposed",
        "llm with 2 models",
        "no legal answer: 2; the endpoint did not answer: 1; the model refused: 1",
        "Where ideas came from",
        "the rank correlation of the reviewer's rating with that change is",
        "4 proposals came to nothing",
    ):
        assert part in text
    assert "<script>alert(1)</script>" not in page


def test_the_page_says_what_is_missing(small):
    text = words(render(small))
    assert "It takes scored genomes of two proposers" not in text
    assert "Legal as it came" in text
    alone = replace(small, tree=small.tree[:1], thoughts=small.thoughts[3:4])
    assert "It takes scored genomes of two proposers" in words(render(alone))


@pytest.mark.parametrize("theme", [figures.LIGHT, figures.DARK])
def test_the_figure_draws_a_line_a_proposer(mixed, theme):
    made = figures.proposers(mixed)
    go.Figure(made.resolved(theme))
    lines = {trace.get("name"): trace for trace in made.traces if trace.get("text")}
    assert list(lines) == ["evolution", "llm"]
    for name, trace in lines.items():
        own = [row.score for row in mixed.tree if row.proposer == name and row.role == "found"]
        assert trace["y"][-1] == max(score for score in own if score is not None)
        assert trace["y"] == sorted(trace["y"])
        assert trace["x"][0] == 1
    band = next(trace for trace in made.traces if trace.get("fill"))
    assert len(band["x"]) == max(len(trace["x"]) for trace in lines.values())


def test_the_figure_wants_two_proposers(data, small):
    assert figures.proposers(data) is None
    assert figures.proposers(without_results(small)) is None
    assert len(figures.proposers(small).traces) == 2  # no noise is known, no band
