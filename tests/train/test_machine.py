import re

from palmette.train.machine import machine, peak_bytes


def test_the_machine_is_one_short_line():
    assert re.fullmatch(r"[^\n]+, \w+, torch \d+\.\d+\.\d+\S*", machine())
    assert len(machine()) < 150


def test_peak_memory_is_in_bytes():
    assert 20e6 < peak_bytes() < 100e9
