import math

import numpy as np
import pytest

from palmette.designer.embedding import Vectors
from palmette.designer.endpoint import CallError
from palmette.designer.knowledge import cards, retrieve
from palmette.designer.money import Ledger, ModelBudget
from palmette.testing.scripted import Scripted


class Embeds:
    """Counts what is embedded; `wrong` changes what comes back."""

    def __init__(self, wrong=lambda vectors: vectors):
        self.asked = []
        self.wrong = wrong
        self.inner = Scripted(lambda model, request: "", ("scripted", "e"))

    def embed(self, model, texts):
        self.asked.append(list(texts))
        return self.wrong(self.inner.embed(model, texts))


def vectors(tmp_path, endpoint=None, **ledger):
    return Vectors(endpoint or Embeds(), "e", Ledger(**ledger), tmp_path)


def test_a_text_is_sent_once_and_kept_for_the_next_time(tmp_path):
    first = Embeds()
    given = vectors(tmp_path, first)
    once = given("what recalls", ["old pairs", "gates", "gates"])
    assert first.asked == [["what recalls", "old pairs", "gates"]]
    assert given("and now", ["gates", "old pairs"])[1:] == [once[2], once[1]]
    assert first.asked[1:] == [["and now"]]
    second = Embeds()
    assert vectors(tmp_path, second)("what recalls", ["old pairs", "gates", "gates"]) == once
    assert second.asked == [["what recalls"]]


def test_models_do_not_share_vectors_and_a_spoilt_file_is_asked_again(tmp_path):
    vectors(tmp_path)("q", ["gates"])
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(b"no numbers")
    again = Embeds()
    assert vectors(tmp_path, again)("q", ["gates"])
    assert again.asked == [["q", "gates"]]
    other = Embeds()
    Vectors(other, "scripted", Ledger(), tmp_path)("q", ["gates"])
    assert other.asked == [["q", "gates"]]


def test_objects_in_a_kept_file_are_never_made(tmp_path):
    vectors(tmp_path)("q", ["gates"])
    (file,) = tmp_path.rglob("*.npy")
    np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    again = Embeds()
    assert vectors(tmp_path, again)("q", ["gates"])
    assert again.asked == [["q", "gates"]]


def boom(vectors):
    raise CallError("server error", "500 from the server")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (boom, "500 from the server"),
        (lambda v: v[:-1], "wanted 3 vectors"),
        (lambda v: [[math.nan] * 3 for _ in v], "of finite numbers"),
        (lambda v: [[] for _ in v], "of finite numbers"),
        (lambda v: [v[0], *(one[:-1] for one in v[1:])], "differ in size"),
    ],
    ids=["dead", "too few", "nan", "empty", "other sizes"],
)
def test_a_failure_is_told_once_and_words_decide(tmp_path, wrong, told):
    endpoint = Embeds(wrong)
    given = vectors(tmp_path, endpoint)
    assert not given.tell()
    assert given("q", ["a", "b"]) is None
    assert told in given.fault
    assert (given.tell(), given.tell()) == (True, False)
    assert given("q", ["a", "b"]) is None
    assert len(endpoint.asked) == 1
    question = "parity fails: negative eigenvalues?"
    assert retrieve(question, 5, embed=given) == retrieve(question, 5)


def test_a_spent_budget_embeds_nothing(tmp_path):
    endpoint = Embeds()
    given = vectors(tmp_path, endpoint, budget=ModelBudget.parse("5tokens"))
    assert given("a question of many words", ["a", "b"]) is None
    assert "budget of 5tokens is spent" in given.fault
    assert endpoint.asked == []


def test_vectors_find_what_shares_no_word_and_words_still_count(tmp_path):
    far = cards()[40]

    def embed(question, texts):
        return [[1.0, 0.0], *([1.0, 0.1] if far.title in text else [0.0, 1.0] for text in texts)]

    assert retrieve("xyzzy qwertz", 3, embed=embed) == [(far, pytest.approx(1 / 61))]
    best = [card.name for card, _ in retrieve("parity: negative eigenvalues", 2, embed=embed)]
    assert set(best) == {far.name, "negative_eigenvalues"}


def test_fused_scores_are_sums_of_reciprocal_ranks(tmp_path):
    question = "attention recall decay gate"
    given = vectors(tmp_path)
    found = retrieve(question, 30, embed=given)
    assert [score for _, score in found] == sorted((s for _, s in found), reverse=True)
    assert found[0][1] <= 2 / 61
    by_words = [card for card, _ in retrieve(question, 200)]
    top = found[0][0]
    assert found[0][1] >= 1 / (61 + by_words.index(top))
