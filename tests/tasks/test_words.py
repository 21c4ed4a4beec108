import itertools

import numpy as np

from palmette.tasks import IGNORE, Marker, Split, Words


def test_the_table_is_that_of_the_group():
    product = Words().product
    assert product.shape == (6, 6)
    for a, b, c in itertools.product(range(6), repeat=3):
        assert product[product[a, b], c] == product[a, product[b, c]]
    assert (product[0] == np.arange(6)).all()
    assert (product[:, 0] == np.arange(6)).all()
    assert (np.sort(product, axis=1) == np.arange(6)).all()  # each row is a permutation
    assert (product != product.T).any()  # S3 does not commute


def test_four_things_make_a_group_of_24():
    assert len(Words(things=4).answers) == 24


def test_training_words_have_2_to_24_factors():
    made = Words().batch(None, np.random.default_rng(0), 300, 100, Split.TRAIN)
    sizes = []
    for row in made.inputs:
        starts = np.flatnonzero(row == Marker.RESET)
        sizes += np.diff(starts).tolist()  # the last word of a row may be cut short
    assert (min(sizes), max(sizes)) == (3, 25)  # with the RESET


def test_evaluation_is_one_long_word_with_buckets():
    made = Words().evaluation(None, Split.SCORE, 5, 128)
    assert ((made.inputs == Marker.RESET).sum(axis=1) == 1).all()
    assert (made.targets[:, 0] == IGNORE).all()
    assert made.lengths is not None
    assert made.lengths[0, [1, 24, 25, 64, 65, 127]].tolist() == [24, 24, 64, 64, 128, 128]
