from __future__ import annotations

import pytest

from palmette.ladder.rate import placebo_rate, rate
from palmette.records import BestRow, Role


def row(role: Role, low: float | None, high: float | None, rung: str = "3") -> BestRow:
    return BestRow(
        genome="g",
        expression="e",
        name=None,
        score=0.5,
        low=low,
        high=high,
        raw_score=0.5,
        bits_per_byte=None,
        seeds=2,
        rung=rung,
        role=role,
        parameters=None,
        flops_forward=None,
        state_bytes=None,
    )


ROOT = row("root", 0.4, 0.6)


def test_the_bound_is_clopper_and_pearsons() -> None:
    none, some, all_of_them = rate(0, 20), rate(3, 20), rate(20, 20)
    assert none is not None
    assert none.bound == pytest.approx(1 - 0.05 ** (1 / 20))  # the rule of three, exactly
    assert some is not None
    assert (some.happened, some.cases) == (3, 20)
    assert some.bound == pytest.approx(0.343664, abs=1e-5)
    assert all_of_them is not None
    assert all_of_them.bound == 1.0


def test_of_no_cases_nothing_is_said() -> None:
    assert rate(0, 0) is None


def test_a_placebo_counts_if_it_lies_above_the_root() -> None:
    above, beside = row("placebo", 0.61, 0.8), row("placebo", 0.59, 0.8)
    found = placebo_rate([above, ROOT, row("found", 0.9, 1.0), beside], "3")
    assert found is not None
    assert (found.happened, found.cases) == (1, 2)


def test_a_placebo_below_the_last_rung_is_no_case() -> None:
    assert placebo_rate([ROOT, row("placebo", 0.9, 1.0, rung="2")], "3") is None


def test_nothing_is_said_without_intervals_or_the_root() -> None:
    placebo = row("placebo", 0.9, 1.0)
    assert placebo_rate([placebo], "3") is None
    assert placebo_rate([placebo, row("root", None, None)], "3") is None
    assert placebo_rate([placebo, row("root", 0.1, 0.2, rung="2")], "3") is None
    assert placebo_rate([row("placebo", None, None), ROOT], "3") is None
