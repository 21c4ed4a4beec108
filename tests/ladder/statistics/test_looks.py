import numpy as np
import pytest

from palmette.ladder.statistics import (
    difference_parts,
    nominal_levels,
    shares,
    spent,
    upper_tail,
)

SIMULATED = 40_000


def first_passes(a, b, looks, levels, paired):
    """The share that passes first at each look."""
    found = np.zeros(len(a), dtype=bool)
    parts = []
    for look, level in zip(looks, levels, strict=True):
        now = upper_tail(*difference_parts(a[:, :look], b[:, :look], paired)) <= level
        parts.append(np.mean(now & ~found))
        found |= now
    return parts


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock", "cubic"])
@pytest.mark.parametrize("looks", [(4, 8, 12), (6, 12), (3, 4, 5, 10)], ids=str)
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_paired_looks_spend_what_was_planned(alpha, looks, spending):
    rng = np.random.default_rng(3)
    a = rng.normal(0, 1, (SIMULATED, looks[-1]))
    levels = nominal_levels(alpha, looks, spending)
    found = first_passes(a, np.zeros_like(a), looks, levels, True)
    for part, planned in zip(found, spent(alpha, looks, spending), strict=True):
        assert abs(part - planned) < 4 * (planned / SIMULATED) ** 0.5 + 0.005 * alpha
    assert abs(sum(found) - alpha) < 4 * (alpha / SIMULATED) ** 0.5


@pytest.mark.parametrize("deviation", [1.0, 3.0])
def test_welch_looks_keep_alpha(deviation):
    rng = np.random.default_rng(4)
    a = rng.normal(0, deviation, (SIMULATED, 12))
    b = rng.normal(0, 1, (SIMULATED, 12))
    for alpha in (0.05, 0.01):
        levels = nominal_levels(alpha, (4, 8, 12), "obrien_fleming")
        size = sum(first_passes(a, b, (4, 8, 12), levels, False))
        assert 0.85 * alpha < size < 1.15 * alpha


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.002])
@pytest.mark.parametrize("paired", [True, False], ids=["paired", "welch"])
def test_shares_keep_every_alpha(alpha, paired):
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 1, (2, SIMULATED, 12))
    levels = [alpha * share for share in shares((4, 8, 12))]
    size = sum(first_passes(a, b, (4, 8, 12), levels, paired))
    assert 0.6 * alpha < size < alpha + 2 * (alpha / SIMULATED) ** 0.5


def test_one_look_spends_all_at_once():
    assert nominal_levels(0.03, (9,)) == pytest.approx((0.03,))
    assert shares((9,)) == pytest.approx((1.0,))


def test_many_seeds_come_near_the_levels_of_normal_scores():
    # for normal scores Lan and DeMets' Pocock-like spending has the levels 0.0155 and 0.0139
    first, second = nominal_levels(0.025, (20, 40), "pocock")
    assert first == pytest.approx(0.0155, abs=1e-4)
    assert 0.0130 < second < 0.0139


def test_spending_sums_to_alpha_and_cubic_has_the_same_share_of_every_alpha():
    for spending in ("obrien_fleming", "pocock", "cubic"):
        assert sum(spent(0.013, (3, 7, 12), spending)) == pytest.approx(0.013)
    assert spent(0.02, (4, 8), "cubic") == pytest.approx([0.02 * s for s in shares((4, 8))])


def test_bad_plans_are_refused():
    with pytest.raises(ValueError, match="rising numbers of seeds"):
        shares((4, 4))
    with pytest.raises(ValueError, match="the first at least 2"):
        nominal_levels(0.05, (1, 4))
    with pytest.raises(ValueError, match=r"at most 100 seeds, got 200; take shares\(looks\)"):
        nominal_levels(0.05, (100, 200))
    with pytest.raises(ValueError, match="alpha must lie"):
        nominal_levels(0.0, (4, 8))
    with pytest.raises(ValueError, match="another share of every alpha"):
        shares((4, 8), "obrien_fleming")
