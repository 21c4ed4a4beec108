import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from palmette.errors import UserError
from palmette.tasks import TASKS, Split, suite
from palmette.tasks.sealed import EXAM, SEALED, TEXT_SHARE, exam_suite, key_of

NAME = "exam/0123456789abcdef"


def test_text_and_every_family_in_equal_shares():
    made = exam_suite(NAME)
    assert made.name == NAME
    assert [task.name for task in made.tasks] == ["text", *SEALED.names()]
    assert made.parts[0].share == TEXT_SHARE
    assert len({part.share for part in made.parts[1:]}) == 1
    assert made.reported is Split.SEALED


def test_the_key_decides_every_draw():
    assert exam_suite(NAME) == exam_suite(NAME)
    one, other = exam_suite(NAME), exam_suite(EXAM + "f" * 16)
    assert all(a != b for a, b in zip(one.tasks[1:], other.tasks[1:], strict=True))
    assert one.digest("text") != other.digest("text")


def test_another_process_makes_the_same_suite():
    """Under another hash seed too: nothing depends on the order of a set."""
    script = (
        f"from palmette.tasks.sealed import exam_suite; print(exam_suite({NAME!r}).digest('a'))"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == exam_suite(NAME).digest("a")


def test_a_family_has_a_generator_of_its_own():
    """So one that is added or goes moves no other draw."""
    made = {task.name: task for task in exam_suite(NAME).tasks}
    digest = hashlib.sha256(b"sealed/0123456789abcdef/grid").digest()
    rng = np.random.default_rng(np.frombuffer(digest, dtype="<u4"))
    assert made["grid"] == SEALED["grid"].draw(rng)


def test_a_key_tells_nothing_of_its_secret_and_hangs_on_all_of_it():
    one, other = bytes(32), bytes(31) + b"\x01"
    assert len(key_of(one)) == 16
    assert key_of(one) != key_of(other)
    assert key_of(one) != hashlib.sha256(one).hexdigest()[:16]  # the commitment does not tell it
    exam_suite(EXAM + key_of(one))


@pytest.mark.parametrize("name", ["exam/", "exam/0123", "exam/0123456789ABCDEF", "pocket"])
def test_what_is_no_key(name):
    with pytest.raises(UserError, match="an exam suite is called exam/ and 16 hex digits, got"):
        exam_suite(name)


@pytest.mark.parametrize("name", [*SEALED.names(), NAME])
def test_a_search_is_refused(name):
    with pytest.raises(UserError) as caught:
        suite(name)
    told = str(caught.value)
    assert told.startswith(f"{name!r} is sealed: exams alone train on it")
    assert "pocket" in told
    assert all(task.name in told for task in TASKS)
    assert "palmette verify" in told


def test_what_is_reported_is_part_of_the_digest():
    made = exam_suite(NAME)
    assert made.digest("a") != replace(made, reported=Split.SCORE).digest("a")
