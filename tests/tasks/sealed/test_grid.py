import numpy as np
import pytest

from palmette.tasks import Split
from palmette.tasks.sealed.grid import Grid


def triples(task, rows=400, length=126):
    made = task.batch(None, np.random.default_rng(0), rows, length, Split.TRAIN)
    return made.inputs.reshape(rows, -1, 3)


@pytest.mark.parametrize("column_first", [False, True])
def test_neither_key_alone_tells_the_value(column_first):
    for row in triples(Grid(2, 3, 16, column_first, 1.5), rows=20):
        cells = {(one, other): value for one, other, value in row.tolist()}
        assert len(cells) == len(set(cells.values())) == 6
        assert all((*keys, cells[tuple(keys)]) == (*keys, value) for *keys, value in row.tolist())
        for key in (0, 1):
            values = {}
            for triple in row.tolist():
                values.setdefault(triple[key], set()).add(triple[2])
            assert all(len(each) >= 2 for each in values.values())


def test_the_front_tells_every_cell_once():
    front = triples(Grid(3, 2, 16, False, 1.5))[:, :6, :2]
    assert all(len({tuple(keys) for keys in row}) == 6 for row in front.tolist())


def test_cells_come_back_as_often_as_recency_says():
    """With recency 1 and four cells, ranks 1 to 4 are as 12 to 6 to 4 to 3."""
    made = triples(Grid(2, 2, 16, False, 1.0), rows=600)[:, :, 2]
    counts = np.zeros(4)
    for row in made.tolist():
        recent = row[3::-1]
        for value in row[4:]:
            counts[recent.index(value)] += 1
            recent.remove(value)
            recent.insert(0, value)
    np.testing.assert_allclose(counts / counts.sum(), np.array([12, 6, 4, 3]) / 25, atol=0.01)


def test_too_short():
    with pytest.raises(ValueError, match="grid needs examples of at least 14 tokens, got 13"):
        triples(Grid(2, 2, 16, False, 1.0), rows=1, length=13)
