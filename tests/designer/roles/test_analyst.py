import json
import random

import pytest

import palmette
from palmette.designer.lessons import lessons
from palmette.designer.roles.analyst import Outcome, analyse
from palmette.designer.scene import Shown
from palmette.designer.session import Session, StepError
from palmette.records import Prediction
from palmette.testing.scripted_designer import legal, scripted_studio

LANGUAGE = palmette.language()
PARENT = Shown(palmette.parse("stack(pre(lin(erase='beta')), pre(glu()))"), 0.5)
CHILD = Shown(
    palmette.parse("stack(pre(lin(erase='beta2')), pre(glu()))"),
    0.49,
    -0.01,
    "tune: lin.erase 'beta' -> 'beta2'",
    "It may\ntrack a state.",
)
GUESS = Prediction(change=0.02, low=0.0, high=0.04, observations=3)
SAID = {
    "trigger": "Parity is at chance.",
    "insight": "Signs cost recall here.",
    "expression": "lin(erase='beta2')",
}


def looked(answer, **config):
    studio = scripted_studio(answer, **config)
    session = Session(studio, 12, "llm", "scripted", random.Random(0))
    outcome = Outcome.of(-0.01, GUESS, [-0.01, 0.03, 0.0])
    return session, lambda: analyse(session, CHILD, PARENT, outcome, GUESS, LANGUAGE)


def test_the_facts_are_ours_and_the_lesson_is_the_models():
    session, analyse_it = looked(lambda model, request: json.dumps(SAID))
    card = analyse_it()
    assert card.name == "lesson_12"
    assert card.insight == "Signs cost recall here."
    assert card.build == (
        "The score changed by -0.0100, outside the predicted interval; rank 3 of 3 edits. "
        "Build on `lin(erase='beta2')`."
    )
    (thought,) = session.thoughts
    assert (thought.proposal, thought.role, thought.outcome) == (12, "analyst", "fine")
    assert (thought.content["inside"], thought.content["rank"]) == (False, 3)
    assert lessons([thought], LANGUAGE) == (card,)
    asked = session.studio.endpoint.requests[0].messages[1].text
    assert "| because: It may track a state." in asked
    assert "Predicted change: +0.0000 to +0.0400" in asked


def test_figures_in_an_answer_change_nothing():
    lie = SAID | {"change": 9.0, "inside": True, "rank": 1, "measured": "It rose.", "edit": "x"}
    session, analyse_it = looked(lambda model, request: json.dumps(lie))
    assert "changed by -0.0100" in analyse_it().build
    assert session.thoughts[0].content["change"] == -0.01
    assert session.thoughts[0].content["rank"] == 3


def test_an_empty_lesson_is_none():
    empty = json.dumps(SAID | {"insight": " ` "})
    session, analyse_it = looked(lambda model, request: empty, retries=1)
    with pytest.raises(StepError, match="trigger and insight want a sentence each"):
        analyse_it()
    assert len(session.thoughts) == 2


def test_a_scripted_model_draws_a_lesson():
    _, analyse_it = looked(legal)
    assert analyse_it().paper is None


@pytest.mark.parametrize(
    ("change", "guess", "changes", "told"),
    [
        (0.01, GUESS, [0.01], "The score changed by +0.0100, as predicted."),
        (0.0, None, [0.0], "The score changed by +0.0000."),
        (0.01, None, [0.01, 0.02], "The score changed by +0.0100; rank 2 of 2 edits."),
    ],
)
def test_an_outcome_in_words(change, guess, changes, told):
    assert Outcome.of(change, guess, changes).told == told
