from dataclasses import replace

import pytest

from palmette.report import separate_differences


def test_the_top_candidate_and_the_best_baseline_are_the_first_of_their_role(data):
    found = [row for row in data.best if row.role == "found"]
    baselines = [row for row in data.best if row.role == "baseline"]
    assert data.top == found[0]
    assert data.best_baseline == baselines[0]


def test_a_difference_adds_half_widths_in_quadrature(data):
    top = data.top.model_copy(update={"score": 0.5, "low": 0.47, "high": 0.53})
    root = top.model_copy(
        update={"role": "root", "name": "deltanet", "score": 0.4, "low": 0.36, "high": 0.44}
    )
    (held,) = separate_differences([top, root])
    assert held.estimate.value == pytest.approx(0.1)
    assert held.estimate.low == pytest.approx(0.05)
    assert held.estimate.high == pytest.approx(0.15)
    assert held.excludes_zero
    assert not held.paired


def test_rows_without_interval_or_of_another_rung_are_not_compared(data):
    root = next(row for row in data.best if row.role == "root")
    assert separate_differences([data.top, root.model_copy(update={"low": None})]) == ()
    assert separate_differences([data.top, root.model_copy(update={"rung": "1"})]) == ()
    assert separate_differences([root]) == ()


def test_there_is_no_top_candidate_among_human_ones(data):
    assert replace(data, best=[row for row in data.best if row.role != "found"]).top is None
