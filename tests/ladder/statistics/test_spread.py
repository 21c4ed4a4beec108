import numpy as np
import pytest

from palmette.ladder.statistics import paired_noise, pooled_noise


def test_pooled_noise_is_the_root_mean_square_within_groups():
    noise = pooled_noise([[1.0, 3.0], [10.0, 10.0, 13.0], [7.0]])
    assert noise is not None
    assert noise.freedom == 3
    assert noise.deviation == pytest.approx(((2.0 + 6.0) / 3) ** 0.5)
    assert pooled_noise([[1.0], [2.0]]) is None


def test_paired_noise_leaves_out_what_a_seed_does_to_all():
    rng = np.random.default_rng(4)
    genomes, seeds = rng.normal(0, 5, (40, 1)), rng.normal(0, 3, (1, 6))
    rows = genomes + seeds + rng.normal(0, 0.5, (40, 6))
    noise = paired_noise(rows.tolist())
    assert noise is not None
    assert noise.freedom == 39 * 5
    assert noise.deviation == pytest.approx(0.5, rel=0.15)
    assert paired_noise([[1.0, 2.0]]) is None
    assert paired_noise([[1.0], [2.0]]) is None
