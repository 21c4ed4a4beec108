"""Every sealed family fulfils the contract of a task, as several secrets draw it."""

import dataclasses

import numpy as np
import pytest

from palmette.tasks import TASKS
from palmette.tasks.sealed import SEALED
from palmette.testing.task_kit import CHECKS, RandomText

SEEDS = {"arithmetic": (0, 2), "mazes": (5, 11)}  # of draws, where an example takes long to make
DRAWS = [
    pytest.param(family, seed, id=f"{family.name}-{seed}")
    for family in SEALED
    for seed in SEEDS.get(family.name, range(3))
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("family", "seed"), DRAWS)
def test_contract(family, seed, check):
    check(family.draw(np.random.default_rng(seed)), RandomText())


@pytest.mark.parametrize("family", SEALED, ids=lambda family: family.name)
def test_every_parameter_is_drawn_and_none_has_a_default(family):
    fields = dataclasses.fields(family)
    assert all(field.default is dataclasses.MISSING for field in fields)
    drawn = [family.draw(np.random.default_rng(seed)) for seed in range(40)]
    fixed = {f.name for f in fields if len({getattr(task, f.name) for task in drawn}) == 1}
    assert fixed <= {"levels", "size"}
    assert len(set(drawn)) > 30


@pytest.mark.parametrize("family", SEALED, ids=lambda family: family.name)
def test_hardly_anything_of_a_sequence_is_not_asked(family):
    """Dense answers: an exam's tokens are few."""
    task = family.draw(np.random.default_rng(0))
    targets = task.batch(None, np.random.default_rng(1), 50, 128, "train").targets
    assert (targets >= 0).mean() > 1 / 10


def test_the_two_mazes_differ_in_everything():
    one, other = (SEALED["mazes"].draw(np.random.default_rng(seed)) for seed in SEEDS["mazes"])
    fields = [field.name for field in dataclasses.fields(one)]
    assert all(getattr(one, name) != getattr(other, name) for name in fields)


def test_a_search_does_not_find_them():
    assert not set(SEALED.names()) & set(TASKS.names())
    assert all(family.sealed for family in SEALED)
    assert not any(task.sealed for task in TASKS)
