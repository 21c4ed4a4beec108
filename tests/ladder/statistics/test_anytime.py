import math

import numpy as np
import pytest
from scipy import integrate, stats

from palmette.ladder.statistics import confidence_sequence, e_value


def test_the_truth_stays_inside_while_seeds_are_added():
    rng = np.random.default_rng(19)
    runs = rng.normal(2.0, 3.0, (1500, 40))
    n = np.arange(1, 41)
    mean = np.cumsum(runs, 1) / n
    squares = np.cumsum(runs**2, 1) - n * mean**2
    pull = n * (mean - 2.0) ** 2
    r = 1 / (1 + n)
    evidence = np.sqrt(r) * ((squares + pull) / (squares + r * pull)) ** (n / 2)
    left = (evidence[:, 1:] >= 20).any(1).mean()
    assert 0.005 < left < 0.05  # 40 looks of a promise for endless ones
    for k in (2, 7, 40):
        assert e_value(runs[3, :k].tolist(), 2.0) == pytest.approx(evidence[3, k - 1])


def test_it_is_the_likelihood_ratio_of_t_with_a_normal_effect():
    values = [0.3, 1.9, 0.8, 1.1, -0.4]
    n, t = 5, stats.ttest_1samp(values, 0.0).statistic

    def under(effect):
        return stats.nct.pdf(t, n - 1, effect * math.sqrt(n)) * stats.norm.pdf(effect)

    ratio = integrate.quad(under, -8, 8)[0] / stats.t.pdf(t, n - 1)
    assert e_value(values) == pytest.approx(ratio, rel=1e-6)


def test_the_interval_holds_what_the_evidence_does_not_exclude():
    values = [0.3, 1.9, 0.8, 1.1, -0.4, 0.9, 1.2]
    made = confidence_sequence(values)
    assert made is not None
    assert e_value(values, made.low) == pytest.approx(20)
    assert e_value(values, made.high) == pytest.approx(20)
    assert confidence_sequence(values[:4]) is None
    assert confidence_sequence(values[:1]) is None
    assert e_value(values[:1]) == 1.0
    assert e_value([1.0, 1.0], 1.0) == pytest.approx(3**-0.5)
