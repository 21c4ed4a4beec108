import numpy as np
import pytest

from benchmarks.calibration import report
from benchmarks.calibration.analysis import (
    bounds,
    costs,
    mixture,
    predictors,
    rungs,
    schedules,
    scoring,
    screening,
    seeds,
    stopping,
)
from tests.benchmarks.calibration import made
from tests.benchmarks.calibration.made import ladder

COUNT = 120


def planted(correlation, seed=1):
    """Truths of three rungs that correlate so with the rung below, with deviation 0.1."""
    rng = np.random.default_rng(seed)
    truth = {"1": rng.standard_normal(COUNT)}
    for below, rung in (("1", "2"), ("2", "3")):
        fresh = rng.standard_normal(COUNT)
        truth[rung] = correlation * truth[below] + (1 - correlation**2) ** 0.5 * fresh
    return {rung: 0.5 + 0.1 * own for rung, own in truth.items()}


def between(rows, lower, upper, group="all"):
    return next(r for r in rows if (r.lower, r.upper, r.group) == (lower, upper, group))


def test_the_noise_of_a_seed_is_found():
    (first, *_) = seeds.measured(ladder(planted(0.9), noise=0.02))
    assert first.genomes == COUNT
    assert first.noise == pytest.approx(0.02, rel=0.2)
    assert first.spread == pytest.approx(0.1, rel=0.2)
    # Var of the truth over that of a two-seed mean: 0.01 / (0.01 + 0.0002)
    assert first.reliability.low < 0.98 < first.reliability.high + 0.02
    assert first.pairing.value < 0.2


def test_a_planted_rank_correlation_is_found_and_noise_hides_it():
    rows = rungs.measured(ladder(planted(0.8), noise=0.1))
    found = between(rows, "text-1", "text-2")
    expected = 6 / np.pi * np.arcsin(0.8 / 2)  # Spearman of a bivariate normal
    assert found.corrected.low < expected < found.corrected.high
    assert found.raw.value < 0.7
    assert between(rows, "text-1", "text-3").corrected.value < found.corrected.value
    assert between(rows, "text-1", "text-2", "atlas").genomes == COUNT // 3


def test_without_noise_order_carries_whole():
    truth = planted(1.0)
    found = between(rungs.measured(ladder(truth, noise=1e-6)), "text-1", "text-3")
    assert found.raw.value == pytest.approx(1)
    assert found.top_quartile.value == pytest.approx(1)
    assert found.kept_of_the_best == 1


def test_planted_floors_and_ceilings_are_counted():
    values = [0.0] * 30 + list(np.linspace(0.2, 0.8, 60)) + [1.0] * 30
    (row, *_) = bounds.measured(ladder({"1": values}, noise=0.002))
    assert row.at_floor.value == pytest.approx(0.25)
    assert row.at_ceiling.value == pytest.approx(0.25)
    assert row.median == pytest.approx(0.5, abs=0.02)


def test_a_predictor_is_as_good_as_it_was_planted():
    rng = np.random.default_rng(3)
    truth = planted(0.9)["1"]
    stages = ladder({"1": truth}, noise=0.001)
    proxies = [
        {"snip": float(own), "gradient_norm": float(rng.random()), "loss_nats": 5.0}
        for own in truth
    ]
    with_them = made.table([], COUNT, proxies)
    told = type(stages)(**{**vars(stages), "proxies": with_them.proxies})
    found = {row.predictor: row.correlation for row in predictors.measured(told)}
    assert found["snip"].value > 0.99
    assert abs(found["gradient norm"].value) < 0.3
    assert found["loss near step 100"].value > 0.99
    assert found["initial loss"] is None  # the same of all


def test_one_mixture_is_compared_with_runs_of_its_tasks():
    rng = np.random.default_rng(4)
    truth = rng.random((40, 2))
    mixed = [[made.trial(1e-2, s, own, 1.0) for s in (0, 1)] for own in truth]
    first = [[made.trial(1e-2, 0, own[:1], 1.0)] for own in truth]
    other = [[made.trial(1e-2, 0, [rng.random()], 1.0)] for _ in truth]
    table = made.table(
        [
            made.stage("wide-2", "wide", "2", mixed, ("text", "recall")),
            made.stage("text-alone", "text", "2", first, ("text",), seeds=1),
            made.stage("recall-alone", "recall", "2", other, ("recall",), seeds=1),
        ],
        40,
    )
    text, recall, mean = mixture.measured(table)
    assert text.correlation.value == pytest.approx(1)
    assert recall.correlation.high < 0.8
    assert recall.correlation.value < mean.correlation.value < text.correlation.value


def test_costs_are_of_trials_and_of_courses():
    first, _, third = costs.measured(ladder(planted(0.9)))
    assert (first.seconds_mean, first.course_seconds_mean) == (1, 4)  # three rates and a seed
    assert (third.seconds_mean, third.course_seconds_mean) == (16, 32)
    assert first.extended == 0
    assert third.extended is None


def test_the_report_has_a_part_for_every_question(monkeypatch):
    monkeypatch.setattr(schedules, "SCHEDULES", schedules.SCHEDULES[:2])
    monkeypatch.setattr(schedules, "OUTER", 3)
    text, held = report.made(ladder({r: own[:12] for r, own in planted(0.9).items()}, 0.01))
    assert text.count("## ") == len(report.MODULES)
    assert "Not measured yet" in text  # there is no mixture
    assert held["costs"][0]["genomes"] == 12
    assert held["schedules"][0]["kept"]["value"] == 1


def test_screening_counts_what_a_rule_refuses():
    truth = np.linspace(0.3, 0.6, 40)
    table = ladder({"1": truth}, noise=1e-4)
    plain = dict.fromkeys(table.expressions, "lm(stack(pre(attn())))")
    worst = sorted(plain)[:4]
    texts = plain | dict.fromkeys(worst, "lm(stack(pre(glu())))")
    proxies = {g: {"snip": float(n), "gradient_norm": 1.0} for n, g in enumerate(sorted(plain))}
    told = type(table)(**{**vars(table), "expressions": texts, "proxies": proxies})
    found = {row.rule: row for row in screening.measured(told)}
    mixers = found["no token mixer"]
    assert mixers.refused.value == pytest.approx(0.1)
    assert mixers.of_the_work == pytest.approx(0.1)
    assert (mixers.of_the_best_quarter.value, mixers.of_the_worse_half.value) == (0, 0.2)
    assert found["worst 50% by loss near step 100"].of_the_worse_half.value == 1
    assert found["worst 25% by snip"].of_the_worse_half.value == 0.5
    assert not any("times" in rule for rule in found)  # no human baseline is in the table


def test_a_task_that_is_noise_is_not_told_apart_and_units_make_tasks_weigh_alike():
    rng = np.random.default_rng(8)
    text, recall = rng.standard_normal((2, 60))
    truth = np.stack([0.6 + 0.01 * text, 0.3 + 0.2 * recall, np.full(60, 0.0)], axis=1)
    table = ladder({"2": truth}, 0.002, suite="wide", tasks=("text", "recall", "parity"))
    found = {row.score: row for row in scoring.measured(table)}
    assert found["told apart, in units of chance"].tasks == "text, recall"
    assert found["all, in units of chance"].shared_with_text < 0.2
    assert 0.3 < found["told apart, in units of spread"].shared_with_text < 0.7
    assert found["text alone"].shared_with_text == pytest.approx(1)
    assert scoring.spreads(table.stages["wide-2"])["recall"] == pytest.approx(8 * 0.2, rel=0.2)
    assert all(row.ahead is None for row in found.values())


def test_a_document_gets_the_tables_that_it_asks_for():
    text = "Before.\n<!-- table: costs -->\nold\n<!-- end -->\nAfter."
    found = report.filled(text, ladder({"1": np.linspace(0.3, 0.6, 12)}))
    assert found.startswith("Before.\n<!-- table: costs -->\n")
    assert found.endswith("<!-- end -->\nAfter.")
    assert "| text-1 | 42,000 | 114,688 | 12 |" in found
    assert "old" not in found
    assert report.filled(found, ladder({"1": np.linspace(0.3, 0.6, 12)})) == found


def test_a_higher_bar_stops_more_sweeps_and_at_last_good_ones(monkeypatch):
    monkeypatch.setattr(stopping, "OUTER", 20)
    rows = stopping.measured(ladder(planted(0.9), noise=0.005))
    assert [row.bar for row in rows] == list(stopping.BARS)
    shares = [row.saved.value for row in rows]
    assert shares == sorted(shares)
    half = next(row for row in rows if row.bar == 0.5)
    # After eight have ended, one in two is below the median; a stopped sweep saves two of three.
    assert half.stopped.value == pytest.approx((1 - 8 / COUNT) / 2, abs=0.03)
    assert half.saved.value == pytest.approx(half.stopped.value * 2 / 3, abs=0.02)
    assert half.stopped_of_the_best_quarter.value < 0.02
    assert rows[-1].stopped_of_the_best_quarter.value > 0.05
