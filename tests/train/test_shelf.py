import os

import numpy as np
import pytest

from palmette.train.shelf import Shelf, default_folder

MADE = {
    "ids": np.arange(-5, 1000, dtype=np.int16).reshape(5, 201),
    "weights": np.linspace(0, 1, 7, dtype=np.float32),
}


class Maker:
    """Makes `MADE` and counts how often."""

    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return MADE


def equal(held):
    return held.keys() == MADE.keys() and all(
        held[name].dtype == MADE[name].dtype and np.array_equal(held[name], MADE[name])
        for name in MADE
    )


def test_arrays_are_made_once(tmp_path):
    make = Maker()
    for _ in range(3):
        assert equal(Shelf(tmp_path).arrays("one", make))
    assert make.calls == 1
    assert equal(Shelf(tmp_path).arrays("another", make))
    assert make.calls == 2


def test_what_is_read_cannot_be_written(tmp_path):
    Shelf(tmp_path).arrays("one", Maker())
    held = Shelf(tmp_path).arrays("one", Maker())
    with pytest.raises(ValueError, match="read-only"):
        held["ids"][0, 0] = 1


@pytest.mark.parametrize("where", [3, 5000, -1], ids=["head", "first array", "end"])
def test_a_damaged_file_is_made_again(tmp_path, where):
    make = Maker()
    Shelf(tmp_path).arrays("one", make)
    (path,) = tmp_path.iterdir()
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    assert equal(Shelf(tmp_path).arrays("one", make))
    path.write_bytes(data[:4000])
    assert equal(Shelf(tmp_path).arrays("one", make))
    assert equal(Shelf(tmp_path).arrays("one", make))
    assert make.calls == 3


def test_the_files_that_were_not_used_for_longest_go_first(tmp_path):
    shelf, make = Shelf(tmp_path, limit_bytes=3 * 6500), Maker()
    for number, name in enumerate(("a", "b", "c")):
        shelf.arrays(name, make)
        for path in tmp_path.iterdir():
            if path.stat().st_mtime > 1e6:
                os.utime(path, (number, number))
    shelf.arrays("a", make)  # is used, so b is the oldest now
    shelf.arrays("d", make)
    assert make.calls == 4
    assert len(list(tmp_path.iterdir())) == 3
    for name in ("a", "c", "d"):
        shelf.arrays(name, make)
    assert make.calls == 4


def test_arrays_too_large_for_the_folder_are_not_kept(tmp_path):
    assert equal(Shelf(tmp_path, limit_bytes=4000).arrays("one", Maker()))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_costs_the_making_alone(tmp_path):
    (tmp_path / "file").write_text("")
    assert equal(Shelf(tmp_path / "file" / "folder").arrays("one", Maker()))


def test_the_folder_can_be_named(monkeypatch):
    monkeypatch.setenv("PALMETTE_DRAWN", "/somewhere")
    assert str(default_folder()) == "/somewhere"
    monkeypatch.delenv("PALMETTE_DRAWN")
    assert default_folder().parts[-2:] == ("palmette", "drawn")
