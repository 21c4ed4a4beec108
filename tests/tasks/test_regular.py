import itertools

import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, Regular, Split


def batch(rows=30, length=63, seed=0, **knobs):
    return Regular(**knobs).batch(None, np.random.default_rng(seed), rows, length, Split.TRAIN)


def written(row):
    """The strings of a row, each a list of steps (choice, letter)."""
    text = "".join("|" if i == Marker.RESET else chr(i) for i in row)
    strings = text.removeprefix("|").split("|")
    return [[tuple(string[i : i + 2]) for i in range(0, len(string), 2)] for string in strings]


def runs(moves, forced, strings):
    """Whether an automaton writes these strings; a last step may lack its letter."""
    for string in strings:
        state = 0
        for choice, *letter in string:
            if letter and forced[state, choice] != letter[0]:
                return False
            state = moves[state, choice]
    return True


def test_every_row_is_written_by_an_automaton_and_only_choices_are_asked():
    made = batch()
    assert (made.inputs[:, 0] == Marker.RESET).all()
    for row in made.inputs:
        strings = written(row)
        assert max(map(len, strings)) <= 6
        assert all(step[0] in "ABC" and set(step[1:]) <= set("abcd") for s in strings for step in s)
    asked = made.inputs[made.targets != IGNORE]
    assert set(asked.tolist()) == set(b"ABC")
    told = made.inputs[:, 1:][made.targets[:, :-1] != IGNORE]
    assert told.tolist() == made.targets[:, :-1][made.targets[:, :-1] != IGNORE].tolist()


def test_asked_exactly_where_all_automata_agree():
    """Against every automaton written out in full: transitions and letters both."""
    small = {"states": 2, "choices": 2, "outputs": 2, "steps": 3}
    cells = list(itertools.product(range(2), "AB"))
    automata = [
        (dict(zip(cells, moves, strict=True)), dict(zip(cells, forced, strict=True)))
        for moves in itertools.product(range(2), repeat=4)
        for forced in itertools.product("ab", repeat=4)
    ]
    made = batch(4, 24, **small)
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        for place in np.flatnonzero((inputs >= ord("A")) & (inputs < ord("a"))):
            before = written(inputs[: place + 1])
            possible = set()
            for letter in "ab":
                told = [*before[:-1], [*before[-1][:-1], (before[-1][-1][0], letter)]]
                if any(runs(moves, forced, told) for moves, forced in automata):
                    possible.add(ord(letter))
            expected = possible.pop() if len(possible) == 1 else IGNORE
            assert targets[place] == expected


def test_states_matter():
    """The letter that a choice forced the last time is often not the one it forces now."""
    made, right = batch(), []
    for inputs, targets in zip(made.inputs.tolist(), made.targets.tolist(), strict=True):
        last = {}
        for place, (token, answer) in enumerate(zip(inputs, targets, strict=True)):
            if answer != IGNORE:
                right.append(last.get(token) == answer)
            if token in (65, 66, 67):
                last[token] = (inputs[place + 1 :] or [None])[0]
    assert 0.6 < np.mean(right) < 0.8


@pytest.mark.parametrize("length", [41, 63, 128])
def test_every_row_asks_something(length):
    assert (batch(2000, length).targets != IGNORE).any(axis=1).all()


def test_too_short():
    with pytest.raises(ValueError, match="regular needs examples of at least 41 tokens, got 40"):
        batch(length=40)
