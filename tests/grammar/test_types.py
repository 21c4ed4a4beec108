import pytest

from palmette.grammar import Sort
from palmette.grammar.rules import a_sort


@pytest.mark.parametrize(
    ("wanted", "given"),
    [(Sort.CORE, Sort.BLOCK), (Sort.STATE, Sort.UPDATE), (Sort.RATES, Sort.RATE)],
)
def test_a_narrower_sort_stands_for_a_wider_one_and_not_the_other_way(wanted, given):
    assert wanted.accepts(given)
    assert not given.accepts(wanted)


def test_every_other_pair_of_different_sorts_is_refused():
    pairs = {(wanted, given) for wanted in Sort for given in Sort if wanted.accepts(given)}
    assert len(pairs) == len(Sort) + 3


@pytest.mark.parametrize(
    ("sort", "words"),
    [
        (Sort.OPERATOR, "an Op"),
        (Sort.CORE, "a Core or Block"),
        (Sort.UPDATE, "an Update"),
        (Sort.RATES, "a Rate or Rates"),
    ],
)
def test_a_sort_in_a_sentence(sort, words):
    assert a_sort(sort) == words
