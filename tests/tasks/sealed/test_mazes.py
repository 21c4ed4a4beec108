import itertools

import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, Split
from palmette.tasks.sealed.mazes import Mazes


def mazes(task, count=40):
    """Doors as pairs of rooms, start, goal and path of every maze that no row's end cuts."""
    made = task.batch(None, np.random.default_rng(0), count, 128, Split.TRAIN)
    for inputs, targets in zip(made.inputs, made.targets, strict=True):
        begins = np.flatnonzero(inputs == Marker.RESET).tolist()
        for first, last in itertools.pairwise(begins):
            ids, asked = inputs[first + 1 : last].tolist(), targets[first + 1 : last].tolist()
            doors = set()
            for room, wall in enumerate(ids[: task.rooms]):
                y, x = divmod(room, task.width)
                if (wall - ord("0")) & 1:
                    doors.add(frozenset((room, y * task.width + (x + 1) % task.width)))
                if (wall - ord("0")) & 2:
                    doors.add(frozenset((room, (y + 1) % task.height * task.width + x)))
            rest = [token - ord("a") for token in ids[task.rooms :]]
            assert asked[: task.rooms + 1] == [IGNORE] * (task.rooms + 1)
            assert asked[task.rooms + 1 : -1] == ids[task.rooms + 2 :]
            yield doors, rest[0], rest[1], rest[2:]


def shortest(doors, rooms, start, goal):
    """All shortest paths, tried one length after the other."""
    paths = [[start]]
    for _ in range(rooms):
        found = [path[1:] for path in paths if path[-1] == goal]
        if found:
            return found
        paths = [
            [*path, room] for path in paths for room in range(rooms) if {path[-1], room} in doors
        ]
    return []


@pytest.mark.parametrize("knocked", [0.0, 0.3])
def test_the_path_is_the_only_shortest_one(knocked):
    task = Mazes(3, 4, knocked, False)
    for doors, start, goal, path in mazes(task, 12):
        assert shortest(doors, task.rooms, start, goal) == [path]


def test_without_knocking_a_maze_is_a_tree():
    for doors, *_ in mazes(Mazes(4, 3, 0.0, False)):
        assert len(doors) == 11


def test_knocked_out_walls_are_the_share_of_what_was_left():
    """A 4 x 4 maze has 32 walls, of which digging opens 15."""
    counts = [len(doors) for doors, *_ in mazes(Mazes(4, 4, 0.3, False), 300)]
    assert np.mean(counts) == pytest.approx(15 + 0.3 * 17, abs=0.3)


def test_coordinates_tell_the_same_mazes():
    one, other = (
        Mazes(3, 3, 0.2, c).batch(None, np.random.default_rng(0), 5, 128, Split.TRAIN)
        for c in (False, True)
    )
    named = one.targets[0][one.targets[0] != IGNORE] - ord("a")
    pairs = other.targets[0][other.targets[0] != IGNORE] - ord("A")
    both = pairs[: len(pairs) // 2 * 2].reshape(-1, 2)
    rooms = both[:, 0] * 3 + both[:, 1] - 3
    assert len(rooms) > 5
    assert named[: len(rooms)].tolist() == rooms[: len(named)].tolist()
