from hypothesis import given, settings
from hypothesis import strategies as st

import palmette
from palmette.designer.knowledge import CARD_CHARACTERS, read_card, retrieve
from palmette.designer.lessons import lesson, lessons
from palmette.records import Thought

LANGUAGE = palmette.language()
TEXT = st.text(alphabet=st.characters(), max_size=300)


def analyst(proposal, outcome="fine", **content):
    return Thought(
        proposal=proposal, proposer="llm", role="analyst", outcome=outcome, content=content
    )


def as_text(card):
    return (
        f"# {card.title}\ntags: {', '.join(card.tags)}\n## Trigger\n{card.trigger}\n"
        f"## Insight\n{card.insight}\n## Build\n{card.build}\n"
    )


def test_an_analysts_thought_becomes_a_card_that_is_found():
    thought = analyst(
        7,
        trigger="Frobnication stalls.",
        insight="Erase more.",
        expression="lin( erase='beta2')",
        edit="tune: lin.erase 'beta' -> 'beta2'",
        measured="The score rose by 0.0100.",
    )
    (card,) = lessons([thought], LANGUAGE)
    assert card.name == "lesson_7"
    assert card.title == "Proposal 7: tune: lin.erase 'beta' -> 'beta2'"
    assert card.build == "The score rose by 0.0100. Build on `lin( erase='beta2')`."
    assert card.expressions == ("lin( erase='beta2')",)
    assert retrieve("frobnication", 1, [card])[0][0] == card


def test_only_what_an_analyst_said_well_is_a_lesson_and_the_first_of_a_proposal_counts():
    told = {"trigger": "When.", "insight": "What."}
    thoughts = [
        analyst(1, "invalid", **told),
        Thought(proposal=2, proposer="llm", role="researcher", outcome="fine", content=told),
        analyst(3, trigger="When.", insight="  \n"),
        analyst(4, trigger=["no", "text"], insight={"neither": 1}),
        analyst(5, **told),
        analyst(5, trigger="Again.", insight="Again."),
    ]
    (card,) = lessons(thoughts, LANGUAGE)
    assert (card.name, card.trigger) == ("lesson_5", "When.")


def test_an_expression_that_is_none_is_left_out():
    for text in ("lin(erase='beta9')", "__import__('os').abort()", "lin(" * 300, "", "`lin()`"):
        card = lesson(1, "When.", "What.", LANGUAGE, expression=text)
        assert card.expressions == (), text


@given(TEXT, TEXT, TEXT, TEXT, TEXT)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_whatever_a_model_writes_a_lesson_has_the_shape_of_a_card(
    trigger, insight, expression, edit, measured
):
    card = lesson(3, trigger, insight, LANGUAGE, expression, edit, measured)
    if card is not None:
        assert read_card("lesson_3", as_text(card), published=False) == card


def test_a_flood_is_cut_to_a_cards_bounds():
    card = lesson(3, "a " * 10**6, "b" * 10**7, LANGUAGE, "c" * 10**6, "d " * 10**6, "e\n" * 10**6)
    assert len(as_text(card)) < CARD_CHARACTERS
    assert read_card("lesson_3", as_text(card), published=False) == card
