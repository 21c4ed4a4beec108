import re

import numpy as np
import pytest

from palmette.tasks import Split
from palmette.tasks.sealed.arithmetic import Arithmetic

TASK = Arithmetic(7, ((3, 5, 0, 1), (0, 0, 2, 4)))


def rows(split, count=300, length=128):
    made = TASK.batch(None, np.random.default_rng(0), count, length, split)
    return ["".join(chr(i) if i < 256 else "|" for i in row) for row in made.inputs.tolist()]


def whole(split, **size):
    """Expressions, each with its value, that no row's end cuts."""
    return [each for row in rows(split, **size) for each in row.split("|")[1:-1]]


def worked_out(expression):
    """By Python's own reader of brackets, without the values that are written after them."""

    class Number:
        def __init__(self, value):
            self.value = value

        def __add__(self, other):
            return Number((3 * self.value + 5 * other.value + 1) % 7)

        def __mul__(self, other):
            return Number((2 * self.value * other.value + 4) % 7)

    bare = re.sub(r"\)\d", ")", expression)
    return eval(re.sub(r"\d", lambda digit: f"N({digit[0]})", bare), {"N": Number}).value


def test_values_are_those_that_python_finds():
    for expression in whole(Split.TRAIN, count=40):
        assert worked_out(expression) == int(expression[-1]), expression


def test_sizes():
    def leaves(expression):
        return sum(sign in "+*" for sign in expression) + 1

    assert {leaves(e) for e in whole(Split.TRAIN)} == {2, 3, 4, 5, 6}
    assert {leaves(e) for e in whole(Split.SEALED)} == {5, 6}


@pytest.mark.parametrize("modulus", [4, 7])
def test_what_is_asked_was_hardly_ever_trained_on(modulus):
    """As many sequences as an exam trains on, and twice as many as it evaluates on."""
    task = Arithmetic(modulus, ((1, 3, 0, 1), (0, 0, 1, 0)))

    def expressions(split, count, seed):
        made = task.batch(None, np.random.default_rng(seed), count, 128, split).inputs
        text = "".join(chr(i) if i < 256 else "|" for i in made.ravel().tolist())
        return [e for e in text.split("|") if e.count("+") + e.count("*") >= 4]

    trained = set(expressions(Split.TRAIN, 520, 1))
    asked = expressions(Split.SEALED, 256, 2)
    assert sum(e in trained for e in asked) / len(asked) < 0.01
