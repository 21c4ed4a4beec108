import pytest

from palmette.tasks import TASKS
from palmette.testing.task_kit import CHECKS, RandomText


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_contract(task, check):
    check(task(), RandomText())


def test_the_folder_is_the_list():
    assert TASKS.names() == (
        "compression",
        "copying",
        "fuzzy_recall",
        "noisy_recall",
        "overwriting",
        "parity",
        "recall",
        "regular",
        "sudoku",
        "text",
        "words",
    )
