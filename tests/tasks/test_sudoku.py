import itertools

import numpy as np
import pytest

from palmette.tasks import IGNORE, Marker, Split, Sudoku
from palmette.tasks.sudoku import CELLS, ONE, grids_of, solved_grids


def puzzles(split=Split.TRAIN, rows=200, givens=4):
    batch = Sudoku(givens=givens).batch(None, np.random.default_rng(0), rows, 1 + CELLS, split)
    return batch.inputs[:, 1:], batch.targets[:, 1:]


def test_there_are_288_solved_grids():
    grids = solved_grids().reshape(-1, 4, 4)
    assert len(np.unique(grids, axis=0)) == 288
    for grid in grids:
        boxes = [grid[r : r + 2, c : c + 2].ravel() for r in (0, 2) for c in (0, 2)]
        for unit in (*grid, *grid.T, *boxes):
            assert sorted(unit) == [0, 1, 2, 3]


def test_the_splits_deal_out_all_grids():
    dealt = np.concatenate([grids_of(split) for split in Split])
    assert {tuple(grid) for grid in dealt} == {tuple(grid) for grid in solved_grids()}
    assert len(dealt) == 288
    assert [len(grids_of(split)) for split in Split] == [216, 24, 24, 24]


@pytest.mark.parametrize("split", Split)
def test_solutions_are_the_split_s_own(split):
    inputs, targets = puzzles(split)
    solutions = np.where(targets == IGNORE, inputs, targets) - ONE
    own = {tuple(grid) for grid in grids_of(split)}
    assert {tuple(solution) for solution in solutions} <= own


def test_every_puzzle_has_one_solution_by_search():
    """Backtracking over the blanks, which knows the rules and no list of grids."""
    units = [[4 * r + c for c in range(4)] for r in range(4)]
    units += [[4 * r + c for r in range(4)] for c in range(4)]
    units += [
        [4 * (r + i) + c + j for i in (0, 1) for j in (0, 1)]
        for r, c in itertools.product((0, 2), repeat=2)
    ]
    beside = [{n for unit in units if cell in unit for n in unit} - {cell} for cell in range(16)]

    def solutions(cells):
        if Marker.BLANK not in cells:
            return 1
        blank = cells.index(Marker.BLANK)
        seen = {cells[n] for n in beside[blank]}
        return sum(
            solutions([*cells[:blank], digit, *cells[blank + 1 :]])
            for digit in range(ONE, ONE + 4)
            if digit not in seen
        )

    assert [solutions(puzzle) for puzzle in puzzles(rows=60)[0].tolist()] == [1] * 60


@pytest.mark.parametrize("givens", [4, 9])
def test_at_least_so_many_cells_are_given_and_some_are_asked(givens):
    inputs, targets = puzzles(givens=givens)
    shown = (inputs != Marker.BLANK).sum(1)
    assert shown.min() >= givens
    assert shown.max() < CELLS
    assert ((targets == IGNORE) == (inputs != Marker.BLANK)).all()


def test_as_many_puzzles_as_fit_stand_in_a_row():
    batch = Sudoku().batch(None, np.random.default_rng(0), 3, 63, Split.TRAIN)
    assert ((batch.inputs == Marker.RESET).sum(1) == 3).all()
    assert (batch.inputs[:, 51:] == Marker.PAD).all()
    with pytest.raises(ValueError, match="sudoku needs examples of at least 17 tokens, got 16"):
        Sudoku().batch(None, np.random.default_rng(0), 3, 16, Split.TRAIN)
