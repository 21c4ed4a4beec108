"""Numbers move only together with `NUMERICS`: losses of small trials against a committed file.

Once a change is meant to move them, raise `NUMERICS` in palmette/train/seeding.py and write the
file anew with `python tests/train/test_golden.py`.
"""

import json
from pathlib import Path

import pytest
from tiny import Sentences, tiny_spec

from palmette.ops.forms import KERNELS
from palmette.ops.kernels.native.library import unavailable
from palmette.train.loop import run_trial
from palmette.train.seeding import NUMERICS

FILE = Path(__file__).with_name("golden.json")
TRIALS = {
    "attention": "lm(stack(pre(attn(positions='rope')), pre(mlp())), positions='learned')",
    "delta rule": "stack(pre(lin(erase='beta')), pre(glu()))",
    "decay": "seq(pre(lin(decay='scalar')), pre(conv()), post(glu()))",
}
# Other processors sum in another order: over these dozen steps that moves a loss by some 1e-6.
# So do native kernels and each of their sets of instructions (by up to 4e-7 on one machine), so
# they are held to the same losses: whatever moves them further is no rounding.
TOLERANCE = 1e-4


def golden(expression, sentences, kernel="torch"):
    result = run_trial(tiny_spec(expression, seed=5, kernel=kernel), sentences)
    return {
        "curve": [point.loss_nats for point in result.curve],
        "bits": {name: metrics.bits for name, metrics in result.metrics.items()},
    }


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", TRIALS)
def test_numbers_have_not_moved(name, kernel, sentences):
    if kernel == "native" and unavailable():
        pytest.skip(unavailable())
    held = json.loads(FILE.read_text())
    assert held["numerics"] == NUMERICS, "NUMERICS was raised: write golden.json anew (see above)"
    now, then = golden(TRIALS[name], sentences, kernel), held["trials"][name]
    hint = "numbers moved: raise NUMERICS in palmette/train/seeding.py and write golden.json anew"
    assert now["curve"] == pytest.approx(then["curve"], rel=TOLERANCE), hint
    assert now["bits"] == pytest.approx(then["bits"], rel=TOLERANCE), hint


def test_a_small_change_of_the_recipe_would_be_noticed(sentences):
    then = json.loads(FILE.read_text())["trials"]["attention"]["curve"]
    warmer = tiny_spec(TRIALS["attention"], seed=5, learning_rate=6.06e-3)
    now = [point.loss_nats for point in run_trial(warmer, sentences).curve]
    assert now != pytest.approx(then, rel=TOLERANCE)


def write():
    sentences = Sentences()
    trials = {name: golden(expression, sentences) for name, expression in TRIALS.items()}
    FILE.write_text(json.dumps({"numerics": NUMERICS, "trials": trials}, indent=1) + "\n")


if __name__ == "__main__":
    write()
