"""What is drawn and told of the campaigns beyond their times."""

import random

import pytest

from benchmarks.rediscovery import figures, worth
from benchmarks.rediscovery.parts import PARTS
from tests.benchmarks.rediscovery.test_times import campaign, row

GAINS = {"decay": 0.1, "convolution": -0.05}


def drawn(genomes):
    draw = random.Random(0)
    for number in range(1, genomes + 1):
        has = [part for part in GAINS if draw.random() < 0.5]
        score = 0.5 + sum(GAINS[part] for part in has) + draw.gauss(0, 0.02)
        yield row("random", 0, number, score, has)


def test_what_parts_add_is_told_apart():
    found = {one.part: one for one in worth.measured(list(drawn(200)))}
    for part, gain in GAINS.items():
        assert found[part].gain.low < gain < found[part].gain.high
        assert found[part].gain.value == pytest.approx(gain, abs=0.02)
        assert found[part].genomes == 200
    assert (found["attention"].having, found["attention"].gain) == (0, None)
    assert worth.markdown(list(found.values())).splitlines()[-1] == "| attention | 0 of 200 | – |"


def test_only_the_arm_that_draws_at_random_is_asked():
    rows = [row("evolution", 0, 1, 0.9, ("decay",)), row("random", 0, 1, None, ("decay",))]
    assert worth.measured(rows) == []


def test_every_arm_is_drawn_in_a_panel_for_each_part():
    rows = [
        *campaign("evolution", 0, (0.4, ()), (0.9, ("decay",))),
        *campaign("random", 0, (0.4, ("decay",)), (0.4, ())),
    ]
    made = figures.drawn(rows)
    assert len(made.traces) == 2 * 2 * len(PARTS)
    seen = {(trace["xaxis"], trace["name"]): trace for trace in made.traces}
    climbs = seen["x", "evolution, in a genome beyond luck"]
    assert (climbs["x"], climbs["y"]) == ([0, 2, 2], [0, 1, 1])
    never = seen["x", "random, in a genome beyond luck"]
    assert (never["x"], never["y"]) == ([0, 2], [0, 0])
    assert seen["x", "random, anywhere"]["x"] == [0, 1, 1]
