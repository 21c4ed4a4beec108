import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, Recall, Split


def batch(rows=200, length=100, **knobs):
    return Recall(**knobs).batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)


@pytest.mark.parametrize("length", [8, 63, 128, 1000])
def test_every_key_is_asked_once(length):
    pairs = Recall().pairs(length)
    made = batch(20, length)
    assert ((made.targets != IGNORE).sum(axis=1) == pairs).all()
    for row in made.inputs:
        keys = row[0 : 2 * pairs : 2]
        asked = row[2 * pairs :]
        asked = asked[asked != Marker.PAD]
        assert len(set(keys.tolist())) == pairs
        assert sorted(asked.tolist()) == sorted(keys.tolist())


def test_pairs_stop_at_the_number_of_keys():
    assert [Recall().pairs(n) for n in (64, 128, 4096)] == [8, 16, 32]


def test_values_are_not_repeated():
    values = batch().inputs[:, 1:24:2]
    assert all(len(set(row)) == 12 for row in values.tolist())


def test_most_queries_come_soon_and_some_late():
    places = np.nonzero(batch(2000, 256).targets != IGNORE)[1] - 2 * 32
    assert (places % 2 == 0).all()
    assert np.median(places) < 60  # of 192; even spreading would give 96
    assert places.max() > 180


def test_first_slot_follows_the_power_law():
    """With one pair, the slot is r with probability r^(a-1) over their sum."""
    made = batch(4000, 15)  # one pair, six slots
    slots = (np.nonzero(made.targets != IGNORE)[1] - 2) // 2
    expected = np.arange(1.0, 7.0) ** (0.01 - 1)
    found = np.bincount(slots, minlength=6) / 4000
    np.testing.assert_allclose(found, expected / expected.sum(), atol=0.03)


def test_too_short():
    with pytest.raises(ValueError, match="recall needs examples of at least 8 tokens, got 7"):
        batch(length=7)
