"""Mazes: the shortest way through a maze that is drawn room by room."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from palmette.tasks._base import IGNORE, Batch, Ints, Marker, Split, Streams, require_length
from palmette.tasks.sealed._family import Family

FIRST_ROOM = ord("a")
FIRST_WALLS = ord("0")
MOVES = b"NESW"


@dataclass(frozen=True)
class Mazes(Family):
    """Shortest paths: a maze, a start and a goal, then the path, room by room or move by move."""

    height: int
    width: int
    knocked: float  # share of the walls that are knocked out
    names_rooms: bool  # whether the path names rooms, not moves

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """A small maze."""
        height, width = ((3, 3), (3, 4), (4, 3), (4, 4))[int(rng.integers(4))]
        return cls(height, width, round(float(rng.uniform(0, 0.3)), 3), bool(rng.integers(2)))

    @property
    def rooms(self) -> int:
        """How many rooms there are."""
        return self.height * self.width

    @property
    def answers(self) -> range:
        """The rooms, or the four moves."""
        if self.names_rooms:
            return range(FIRST_ROOM, FIRST_ROOM + self.rooms)
        return range(FIRST_WALLS + 4, FIRST_WALLS + 8)

    def batch(
        self,
        streams: Streams | None,
        rng: np.random.Generator,
        rows: int,
        length: int,
        split: Split,
    ) -> Batch:
        """Fresh mazes; the splits differ by their generators alone."""
        require_length(self.name, length, self.rooms + 4)
        inputs = np.empty((rows, length), dtype=np.int64)
        targets = np.empty((rows, length), dtype=np.int64)
        for row in range(rows):
            ids: list[int] = []
            asked: list[int] = []
            while len(ids) < length:
                told, path = self._maze(rng)
                ids += [*told, *path]
                asked += [IGNORE] * (len(told) - 1) + path + [IGNORE]
            inputs[row], targets[row] = ids[:length], asked[:length]
        return Batch(inputs, targets)

    def _maze(self, rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """What is told of a fresh maze, and the path."""
        doors = self._dug(rng)
        while True:
            start, goal = rng.choice(self.rooms, 2, replace=False).tolist()
            path = self._path(doors, start, goal)
            if path is not None:
                break
        told = [int(Marker.RESET)]
        told += [FIRST_WALLS + doors[room][1] + 2 * doors[room][2] for room in range(self.rooms)]
        told += [FIRST_ROOM + start, FIRST_ROOM + goal]
        return told, self._written(start, path)

    def _written(self, start: int, path: list[int]) -> list[int]:
        if not self.names_rooms:
            return [FIRST_WALLS + 4 + move for move in path]
        rooms, room = [], start
        for move in path:
            room = self._beside(room, move)
            rooms.append(FIRST_ROOM + room)
        return rooms

    def _beside(self, room: int, move: int) -> int:
        """The room to the north, east, south or west; the edges of the maze are joined."""
        y, x = divmod(room, self.width)
        y = (y + (-1, 0, 1, 0)[move]) % self.height
        x = (x + (0, 1, 0, -1)[move]) % self.width
        return y * self.width + x

    def _dug(self, rng: np.random.Generator) -> list[list[bool]]:
        """[room][move] whether there is a door: depth first from anywhere, then walls knocked."""
        doors = [[False] * 4 for _ in range(self.rooms)]

        def open_door(room: int, move: int) -> None:
            doors[room][move] = doors[self._beside(room, move)][(move + 2) % 4] = True

        order = np.argsort(rng.random((self.rooms, 4)), axis=1).tolist()
        first = int(rng.integers(self.rooms))
        seen, way = {first}, [first]
        while way:
            room = way[-1]
            for move in order[room]:
                there = self._beside(room, move)
                if there not in seen:
                    open_door(room, move)
                    seen.add(there)
                    way.append(there)
                    break
            else:
                way.pop()
        for room, move in np.argwhere(rng.random((self.rooms, 2)) < self.knocked).tolist():
            open_door(room, move + 1)
        return doors

    def _path(self, doors: list[list[bool]], start: int, goal: int) -> list[int] | None:
        """The moves of the one shortest path, None where there are several."""
        far = {goal: 0}
        ways = {goal: 1}
        queue = [goal]
        for room in queue:
            for move in range(4):
                there = self._beside(room, move)
                if not doors[room][move]:
                    continue
                if there not in far:
                    far[there] = far[room] + 1
                    ways[there] = 0
                    queue.append(there)
                if far[there] == far[room] + 1:
                    ways[there] += ways[room]
        if ways[start] > 1:
            return None
        path, room = [], start
        while room != goal:
            for move in range(4):
                there = self._beside(room, move)
                if doors[room][move] and far[there] == far[room] - 1:
                    path.append(move)
                    room = there
                    break
        return path

    def oracle(self, inputs: Ints) -> Ints:
        """Reads every maze and looks for the path."""
        answers = np.full_like(inputs, IGNORE)
        for row, ids in enumerate(inputs.tolist()):
            begins = [place for place, token in enumerate(ids) if token == Marker.RESET]
            for place in begins:
                walls = ids[place + 1 : place + 1 + self.rooms]
                ends = ids[place + 1 + self.rooms : place + 3 + self.rooms]
                if len(ends) < 2:
                    continue
                doors = [[False] * 4 for _ in range(self.rooms)]
                for room, wall in enumerate(walls):
                    for move, bit in ((1, 1), (2, 2)):
                        if (wall - FIRST_WALLS) & bit:
                            doors[room][move] = True
                            doors[self._beside(room, move)][(move + 2) % 4] = True
                start, goal = (end - FIRST_ROOM for end in ends)
                path = self._path(doors, start, goal)
                assert path is not None
                written = self._written(start, path)
                first = place + 2 + self.rooms
                written = written[: len(ids) - first]
                answers[row, first : first + len(written)] = written
        return answers
