"""Mazes: the shortest path through a maze that is told room by room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

Doors: TypeAlias = list[list[bool]]
"""[room][move] whether there is a door."""

FIRST_ROOM = ord("a")
FIRST_ROW = ord("A")
FIRST_WALLS = ord("0")
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))  # north, east, south, west
EAST, SOUTH = 1, 2


@dataclass(frozen=True)
class Mazes(Family):
    """Shortest paths: a maze, two of its rooms, and the path from one to the other; say the path.

        >>> task = Mazes(3, 3, 0.2, coordinates=False)
        >>> print(task.batch(None, np.random.default_rng(1), 1, 48, Split.TRAIN).show())
        |111232023igg|132203330bihi|230001231iehbe|23311
        ···········g············hi············hbe·······

    A sequence is packed with mazes. Of each come, row by row, one token a room that tells whether
    there are doors to the east (1) and to the south (2, both 3); then where to begin, where to go,
    and the rooms of the path up to there. A room is one letter or, with `coordinates`, two: its row
    and its column. North of the first row is the last one, west of the first column the last one:
    without edges all rooms are alike, so every answer is equally likely and chance is the logarithm
    of their number.

    A maze is dug depth first from a room and in directions chosen at random; then each wall is
    knocked out with probability `knocked`. The path is found breadth first. Ends between which
    there are several shortest paths are drawn again, so the path is unique without a rule that
    would favour a direction. Mazes of 30 x 30 cells are what HRM is tested on (arXiv 2506.21734);
    these have 9 to 16 rooms, so that a sequence of 128 tokens holds four to seven of them.

    A model that has learned which rooms are neighbours and never to turn back is well above chance
    without having read a wall. A path told as moves alone was no task for this size: all three
    human designs learned no more than not to turn back (scores of 0.12 to 0.14, one seed).
    """

    height: int
    width: int
    knocked: float  # share of the walls
    coordinates: bool

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Three or four rows and columns, up to three walls in ten knocked out."""
        height, width = rng.integers(3, 5, 2).tolist()
        return cls(height, width, round(float(rng.uniform(0, 0.3)), 3), bool(rng.integers(2)))

    @property
    def rooms(self) -> int:
        """How many rooms there are."""
        return self.height * self.width

    @property
    def answers(self) -> range:
        """The rooms, or the rows and then the columns."""
        if self.coordinates:
            return range(FIRST_ROW, FIRST_ROW + self.height + self.width)
        return range(FIRST_ROOM, FIRST_ROOM + self.rooms)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh mazes, the last of a row cut short; the splits differ by their generators alone."""
        require_length(self.name, length, self.rooms + (6 if self.coordinates else 4))
        inputs = np.empty((rows, length), dtype=np.int64)
        targets = np.empty((rows, length), dtype=np.int64)
        for row in range(rows):
            ids: list[int] = []
            asked: list[int] = []
            while len(ids) < length:
                told, path = self._maze(rng)
                ids += told + path
                asked += [IGNORE] * (len(told) - 1) + path + [IGNORE]
            inputs[row], targets[row] = ids[:length], asked[:length]
        return Batch(inputs, targets)

    def _maze(self, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """What is told of a fresh maze, and its path."""
        doors = self._dug(rng)
        path = None
        while path is None:
            start, goal = rng.permutation(self.rooms)[:2].tolist()
            path = self._path(doors, start, goal)
        told = [FIRST_WALLS + each[EAST] + 2 * each[SOUTH] for each in doors]
        return [int(Marker.RESET), *told, *self._names((start, goal))], self._names(path)

    def _names(self, rooms: Sequence[int]) -> list[int]:
        if not self.coordinates:
            return [FIRST_ROOM + room for room in rooms]
        both = (divmod(room, self.width) for room in rooms)
        return [FIRST_ROW + part for y, x in both for part in (y, self.height + x)]

    def _beside(self, room: int, move: int) -> int:
        (y, x), (down, right) = divmod(room, self.width), MOVES[move]
        return (y + down) % self.height * self.width + (x + right) % self.width

    def _opened(self, doors: Doors, room: int, move: int) -> None:
        doors[room][move] = doors[self._beside(room, move)][(move + 2) % 4] = True

    def _dug(self, rng: np.random.Generator) -> Doors:
        doors = [[False] * 4 for _ in range(self.rooms)]
        order = np.argsort(rng.random((self.rooms, 4)), axis=1).tolist()
        way = [int(rng.integers(self.rooms))]
        seen = set(way)
        while way:
            room = way[-1]
            for move in order[room]:
                if self._beside(room, move) not in seen:
                    self._opened(doors, room, move)
                    way.append(self._beside(room, move))
                    seen.add(way[-1])
                    break
            else:
                way.pop()
        for room, wall in np.argwhere(rng.random((self.rooms, 2)) < self.knocked).tolist():
            self._opened(doors, room, (EAST, SOUTH)[wall])
        return doors

    def _path(self, doors: Doors, start: int, goal: int) -> list[int] | None:
        """The rooms of the shortest path, without the start; None if there are several."""
        far, ways, reached = {goal: 0}, {goal: 1}, [goal]
        for room in reached:  # grows as it goes
            for there in self._next(doors, room):
                if there not in far:
                    far[there], ways[there] = far[room] + 1, 0
                    reached.append(there)
                if far[there] > far[room]:
                    ways[there] += ways[room]
        if ways[start] > 1:
            return None
        path = [start]
        while path[-1] != goal:
            path.append(min(self._next(doors, path[-1]), key=far.__getitem__))
        return path[1:]

    def _next(self, doors: Doors, room: int) -> set[int]:
        return {self._beside(room, move) for move in range(4) if doors[room][move]}

    def oracle(self, inputs: Ints) -> Ints:
        """Builds every maze again from what is told of it and looks for the path."""
        answers = np.full_like(inputs, IGNORE)
        names = {tuple(self._names([room])): room for room in range(self.rooms)}
        size = len(next(iter(names)))
        for row, ids in enumerate(inputs.tolist()):
            for begin in (place for place, token in enumerate(ids) if token == Marker.RESET):
                first = begin + 1 + self.rooms  # of the name of the start
                if first + 2 * size > len(ids):
                    continue
                doors = [[False] * 4 for _ in range(self.rooms)]
                for room in range(self.rooms):
                    for move, bit in ((EAST, 1), (SOUTH, 2)):
                        if (ids[begin + 1 + room] - FIRST_WALLS) & bit:
                            self._opened(doors, room, move)
                start, goal = (names[tuple(ids[at : at + size])] for at in (first, first + size))
                path = self._path(doors, start, goal)
                assert path is not None, "no maze is asked that has several shortest paths"
                told = self._names(path)[: len(ids) - (first + 2 * size - 1)]
                answers[row, first + 2 * size - 1 :][: len(told)] = told
        return answers
