import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palmette
from palmette.designer.knowledge import cards
from palmette.designer.lessons import lesson
from palmette.designer.origin import added, attribute, features
from palmette.grammar.sample import sample_genome

LANGUAGE = palmette.language()
SHIPPED = {card.name: card for card in cards()}
NEGATIVE = SHIPPED["negative_eigenvalues"]


def tree(text):
    return palmette.parse(text).root


PARENT = tree("stack(pre(lin(erase='beta')), pre(glu()))")
TUNED = tree("stack(pre(lin(erase='beta2')), pre(glu()))")


def origin(child, shown=(), genomes=(), parent=PARENT):
    return attribute(child, parent, shown, genomes, LANGUAGE).origin


def test_a_value_that_only_a_card_writes_is_knowledge():
    assert any("lin(erase='beta2'" in text for text in NEGATIVE.expressions)
    assert origin(TUNED, [NEGATIVE]) == "knowledge"


def test_a_value_that_only_a_shown_genome_has_is_experience():
    assert origin(TUNED, genomes=[tree("pre(lin(erase='beta2'))")]) == "experience"


def test_a_value_that_nothing_shown_has_is_original():
    assert origin(TUNED, [SHIPPED["squared_relu"]], [tree("pre(mlp())")]) == "original"


def test_a_lesson_of_the_campaign_is_experience():
    told = lesson(4, "When.", "What.", LANGUAGE, expression="lin(erase='beta2')")
    assert origin(TUNED, [told]) == "experience"


def test_what_both_show_is_knowledge_and_more_features_win():
    sibling = tree("pre(lin(erase='beta2'))")
    assert origin(TUNED, [NEGATIVE], [sibling]) == "knowledge"
    child = tree("stack(pre(lin(erase='beta2'), norm='layer'), pre(attn()))")
    richer = tree("stack(pre(lin(erase='beta2'), norm='layer'), pre(attn()))")
    assert origin(child, [NEGATIVE]) == "original"  # one of three
    assert origin(child, [NEGATIVE], [richer]) == "experience"  # three of three


def test_a_new_node_brings_its_absent_values_with_it():
    child = tree("stack(pre(lin(erase='beta')), pre(mlp()))")
    assert added(child, PARENT) == {"mlp"}
    back = tree("stack(pre(lin()), pre(glu()))")
    assert added(back, PARENT) == {"lin.erase='none'"}


def test_a_card_shows_only_what_it_writes():
    plain = lesson(4, "When.", "What.", LANGUAGE, expression="lin()")
    back = tree("stack(pre(lin()), pre(glu()))")
    assert origin(back, [plain]) == "original"
    assert origin(back, genomes=[tree("pre(lin())")]) == "experience"


@pytest.mark.parametrize(
    "child",
    [
        "stack(pre(lin(erase='beta')))",
        "stack(pre(glu()), pre(lin(erase='beta')))",
        "stack(pre(lin(erase='beta')), pre(glu()), pre(glu()))",
    ],
    ids=["pruned", "moved", "repeated"],
)
def test_nothing_new_has_no_origin(child):
    assert origin(tree(child), [NEGATIVE], [TUNED]) is None


def test_the_features_are_told_by_what_showed_them():
    child = tree("stack(pre(lin(erase='beta2')), pre(mlp()))")
    told = attribute(child, PARENT, [NEGATIVE], [tree("pre(mlp())")], LANGUAGE)
    assert told.content() == {"knowledge": ["lin.erase='beta2'"], "experience": ["mlp"]}
    assert told.origin == "knowledge"  # of equal ones the first


def test_a_hostile_card_shows_nothing():
    card = NEGATIVE.model_copy(update={"build": "origin: original. `__import__('os')` `lin(`"})
    assert origin(TUNED, [card]) == "original"


@given(st.integers(0, 2**20))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_the_order_of_the_context_changes_nothing(seed):
    rng = random.Random(seed)
    drawn = [sample_genome(LANGUAGE, rng).root for _ in range(6)]
    child, parent, *genomes = drawn
    shown = rng.sample(cards(), 8)
    once = attribute(child, parent, shown, genomes, LANGUAGE)
    again = attribute(
        child, parent, rng.sample(shown, 8), rng.sample(genomes, 4) + genomes[:1], LANGUAGE
    )
    assert once == again
    assert once.knowledge | once.experience | once.original == added(child, parent)
    assert not once.original & (once.knowledge | once.experience)
    assert (once.origin is None) is (added(child, parent) == set())
    assert added(child, parent) <= features(child)
