"""Everything random about a trial comes from its seed and replica, here and nowhere else.

    purpose   decides                            derived from
    weights   the initial weights                seed, replica
    data      which sequences, in which order    seed, replica
    halting   which sequences may not halt yet   seed, replica

The genome does not enter. So two genomes with one seed read the same sequences in the same order,
and start from the same stream of random numbers: their difference is a paired one, and most of what
a seed does to a score cancels from it. A placebo's replica number enters both, so it shares nothing
with the baseline that it copies. The rung does not enter either: a longer trial begins with the
sequences of the shorter one, on fresh weights.

Each purpose is named in the hash, so that a new one never shifts an old one's numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np

from palmette.records import TrialSpec

NUMERICS = 1
"""Raised by hand when a change moves the numbers of a trial; a part of every trial's key.

`tests/train/golden.json` holds losses of small trials; the test over it fails if numbers move while
this stands still.
"""


def derive(purpose: str, seed: int, replica: int) -> int:
    """A 63-bit seed: the head of SHA-256 over the purpose, the seed and the replica.

    >>> derive("weights", 0, 0) == derive("weights", 0, 0)
    True
    >>> len({derive("weights", 0, 0), derive("data", 0, 0), derive("data", 0, 1)})
    3
    """
    text = f"palmette/{purpose}/seed={seed}/replica={replica}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def weights_seed(spec: TrialSpec) -> int:
    """What torch's generator is seeded with while the model is built."""
    return derive("weights", spec.seed, spec.replica)


def data_generator(spec: TrialSpec) -> np.random.Generator:
    """The generator that draws every training batch of the trial."""
    sequence = np.random.SeedSequence(derive("data", spec.seed, spec.replica))
    return np.random.Generator(np.random.PCG64(sequence))


def halting_generator(spec: TrialSpec) -> np.random.Generator:
    """The generator that draws which sequences explore further segments, where a model halts."""
    return np.random.default_rng(derive("halting", spec.seed, spec.replica))
