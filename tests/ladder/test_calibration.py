import gzip
import json

import pytest

from palmette.errors import UserError
from palmette.ladder import calibration
from palmette.ladder.calibration import read
from palmette.tasks import TASKS

CHANCE = 8.0


def trial(seed, bits):
    return [1e-2, seed, [bits], [bits], [0.4], 2.5, [3.0] * 8, 1.0]


def packed(courses, form=calibration.FORMAT):
    stage = {
        "name": "text-2",
        "suite": "text",
        "rung": "2",
        "parameters": 84_000,
        "tokens": 229_376,
        "seeds": 2,
        "chance": {"text": CHANCE},
        "courses": [
            {"genome": n, "figures": None, "failed": [], "reason": None, "trials": trials}
            for n, trials in enumerate(courses)
        ],
    }
    genomes = [
        {"hash": str(n), "origin": "sample", "expression": "", "proxies": {}}
        for n, _ in enumerate(courses)
    ]
    held = {"format": form, "numerics": 1, "genomes": genomes, "stages": [stage]}
    return gzip.compress(json.dumps(held).encode())


WHOLE = packed([[trial(0, 3.0), trial(1, 3.2)], [trial(0, 4.0), trial(1, 4.0)], [trial(0, 9.0)]])


def test_noise_is_in_units_of_the_tasks_score():
    noise = read(WHOLE).noise("text", "2", "text", best=1)
    # Differences of 0.2 and 0 bits between seeds; the seeds' own mean difference is taken out.
    assert noise is not None
    assert noise.freedom == 1
    assert noise.deviation == pytest.approx(0.1 / TASKS["text"]().constant)


def test_noise_is_of_the_best_alone():
    wild = [[trial(0, 7.0 + n % 2), trial(1, 7.9 - n % 2)] for n in range(10)]
    calm = [[trial(0, 2.0 + 0.01 * (n % 2)), trial(1, 2.0)] for n in range(10)]
    held = read(packed(wild + calm))
    best, all_of_them = (held.noise("text", "2", "text", best=share) for share in (0.5, 1))
    assert best is not None
    assert all_of_them is not None
    assert best.freedom == 9
    assert 10 * best.deviation < all_of_them.deviation


def test_pairing_is_known_where_seeds_were_shared():
    pairing = read(WHOLE).pairing("text", "2", "text", 8)
    assert pairing is not None
    assert -1 <= pairing.correlation.low <= pairing.correlation.value <= 1


@pytest.mark.parametrize(
    ("task", "rung", "suite"),
    [("text", "3", "text"), ("recall", "2", "text"), ("text", "2", "wide"), ((), "2", "text")],
)
def test_what_was_not_measured_is_none(task, rung, suite):
    assert read(WHOLE).noise(task, rung, suite) is None
    assert read(WHOLE).pairing(task, rung, suite, 8) is None


def test_another_format_is_refused_with_the_next_step():
    with pytest.raises(UserError, match="calibration table"):
        read(packed([], form=99))


def test_a_scale_without_a_table_has_none():
    assert calibration.calibration("nowhere") is None
