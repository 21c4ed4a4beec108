"""Tables with a known truth, in the form of the real one."""

import gzip
import json

import numpy as np

from palmette.ladder.calibration import FORMAT, Calibration, read
from palmette.train.seeding import NUMERICS

CHANCE = 8.0
TOKENS = {"1": 114_688, "2": 229_376, "3": 458_752}
SECONDS = {"1": 1.0, "2": 4.0, "3": 16.0}
RATES = (7e-3, 1.5e-2, 3e-2)


def trial(rate, seed, scores, seconds, early=3.0, curve=(3.0,) * 8):
    """A trial that saves such shares of chance's bits, by task, on both splits."""
    bits = [CHANCE * (1 - score) for score in scores]
    return [rate, seed, bits, bits, list(scores), early, list(curve), seconds]


def stage(name, suite, rung, courses, tasks=("text",), seeds=2):
    """`courses` are lists of trials, one a genome."""
    return {
        "name": name,
        "suite": suite,
        "rung": rung,
        "parameters": 42_000,
        "tokens": TOKENS[rung],
        "seeds": seeds,
        "chance": dict.fromkeys(tasks, CHANCE),
        "courses": [
            {
                "genome": number,
                "figures": [42_000, True, 80_000.0, 1e10, 4096],
                "failed": [],
                "reason": None,
                "trials": trials,
            }
            for number, trials in enumerate(courses)
        ],
    }


def table(stages, genomes, proxies=None) -> Calibration:
    """The table as it would be read."""
    held = {
        "format": FORMAT,
        "numerics": NUMERICS,
        "genomes": [
            {
                "hash": f"{number:03}",
                "origin": ("atlas:x", "sample", "edit:x")[number % 3],
                "expression": "lm(stack(pre(attn())))",
                "proxies": proxies[number] if proxies else {},
            }
            for number in range(genomes)
        ],
        "stages": stages,
    }
    return read(gzip.compress(json.dumps(held).encode()))


def ladder(truths, noise=0.0, seed=0, suite="text", tasks=("text",)) -> Calibration:
    """Three rungs of a suite; `truths` by rung, [genomes] or [genomes tasks], with normal noise.

    The sweep's best rate is the middle one, by 0.01.
    """
    rng = np.random.default_rng(seed)
    stages = []
    for rung, given in truths.items():
        truth = np.asarray(given, dtype=float).reshape(len(given), -1)
        courses = []
        for own in truth:
            blur = noise * rng.standard_normal((2, len(own)))
            rates = {"1": RATES, "2": RATES[1:], "3": RATES[1:2]}[rung]
            worse = {RATES[0]: 0.01, RATES[1]: 0.0, RATES[2]: 0.02}
            trials = [
                trial(
                    rate,
                    0,
                    own + blur[0] - worse[rate],
                    SECONDS[rung],
                    early=5.0 - float(own.mean()),
                    curve=(3.0 + worse[rate] - float(own.mean()),) * 8,
                )
                for rate in rates
            ]
            trials.append(trial(RATES[1], 1, own + blur[1], SECONDS[rung]))
            courses.append(trials)
        stages.append(stage(f"{suite}-{rung}", suite, rung, courses, tasks))
    return table(stages, len(next(iter(truths.values()))))
