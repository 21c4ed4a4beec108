from pathlib import Path

import pytest
from tiny import numbers, tiny_spec

from palmette.errors import UnknownNameError, UserError
from palmette.tasks import Split, suite
from palmette.testing.task_kit import RandomText
from palmette.train.batches import code
from palmette.train.loop import run_trial
from palmette.train.mixtures import mixture_of
from palmette.train.shelf import Shelf

NAME = "exam/0123456789abcdef"


class Watched:
    """Text, by the random bytes of the kit, that keeps which splits were read."""

    sha256 = "random"

    def __init__(self):
        self.read = set()

    def stream(self, split):
        self.read.add(split)
        return RandomText().stream(split)


def exam_spec(**changed):
    fields = {"suite": NAME, "tokens": 12 * 4 * 63, "batch_size": 4, "evaluation_tokens": 500}
    return tiny_spec("stack(pre(lin(erase='beta')), pre(glu()))", **{**fields, **changed})


def test_a_search_has_its_own_suites():
    assert mixture_of("pocket") == suite("pocket")
    with pytest.raises(UnknownNameError, match="no suite is called 'poket'"):
        mixture_of("poket")


def test_a_malformed_key():
    with pytest.raises(UserError, match="16 hex digits, got 'exam/12'"):
        mixture_of("exam/12")


def test_an_exam_reports_the_sealed_split_and_keeps_its_hands_off_score():
    text = Watched()
    result = run_trial(exam_spec(), text)
    families = {"text", "arithmetic", "grid", "lorenz", "mazes", "rewriting"}
    assert families == set(result.metrics) == set(result.select)
    assert text.read == {Split.TRAIN, Split.SELECT, Split.SEALED}


def test_a_search_reads_score_as_ever():
    text = Watched()
    run_trial(exam_spec(suite="text"), text)
    assert text.read == {Split.TRAIN, Split.SELECT, Split.SCORE}


def test_kept_sequences_are_the_same_bits(tmp_path):
    plain = numbers(run_trial(exam_spec(), Watched()))
    for _ in range(2):
        assert numbers(run_trial(exam_spec(), Watched(), shelf=Shelf(tmp_path))) == plain
    assert len(list(tmp_path.iterdir())) == 1 + 2 * 6


def test_another_key_is_another_suite_on_the_shelf(tmp_path):
    one = numbers(run_trial(exam_spec(), Watched(), shelf=Shelf(tmp_path)))
    other = exam_spec(suite="exam/" + "f" * 16)
    assert numbers(run_trial(other, Watched(), shelf=Shelf(tmp_path))) != one
    kept = len(list(tmp_path.iterdir()))
    assert kept == 2 * (1 + 2 * 6) - 2  # text is evaluated on the same sequences


def test_a_change_of_a_sealed_task_empties_the_shelf(monkeypatch):
    before = code.__wrapped__()
    read = Path.read_bytes
    sealed = list(Path(__file__).parents[2].glob("palmette/tasks/sealed/*.py"))
    assert len(sealed) >= 6
    for changed in sealed:
        monkeypatch.setattr(
            Path,
            "read_bytes",
            lambda path, changed=changed: read(path) + (b"#" if path == changed else b""),
        )
        assert code.__wrapped__() != before
    monkeypatch.setattr(Path, "read_bytes", read)
    assert code.__wrapped__() == before
