import itertools

import numpy as np
import pytest

from palmette.tasks import Split
from palmette.tasks.sealed.rewriting import Rewriting

RULES = ((1, 2, 0), (0, 2, 1), (2, 0, 1))


@pytest.mark.parametrize(
    ("sequential", "becomes"),
    # before a is c, and c makes c of a; before b is a or, in sequence, the c that a became
    [(False, [2, 2, 1, 1]), (True, [2, 0, 0, 0])],
)
def test_rules_by_hand(sequential, becomes):
    task = Rewriting(4, RULES, sequential)
    assert task.rewritten(np.array([[0, 1, 2, 2]])).tolist() == [becomes]


@pytest.mark.parametrize("sequential", [False, True])
def test_splits_share_no_string(sequential):
    task = Rewriting(4, RULES, sequential)
    found = {
        split: {tuple(s) for s in task._strings(np.random.default_rng(0), 2000, split).tolist()}
        for split in Split
    }
    assert all(found.values())
    assert not any(a & b for a, b in itertools.combinations(found.values(), 2))
    assert len(set().union(*found.values())) == 3**4


def test_the_oracle_knows_an_answer_that_is_cut_short():
    task = Rewriting(5, RULES, True)
    made = task.batch(None, np.random.default_rng(0), 4, 9, Split.TRAIN)
    assert (made.targets >= 0).sum(axis=1).tolist() == [3] * 4
    asked = made.targets >= 0
    assert np.array_equal(task.oracle(made.inputs)[asked], made.targets[asked])
