from dataclasses import replace

import pytest

from palmette.ladder.statistics import Estimate
from palmette.report import Difference
from palmette.report.verdict import bars, standing, summary
from tests.report.make_example import without_results


def differing(data, *intervals):
    roles = ("root", "baseline")
    names = ("deltanet", data.best_baseline.name)
    return replace(
        data,
        differences=[
            Difference(name, role, Estimate((low + high) / 2, low, high), paired=True)
            for role, name, (low, high) in zip(roles, names, intervals, strict=False)
        ],
    )


ABOVE, INSIDE, BELOW = (0.01, 0.03), (-0.01, 0.03), (-0.03, -0.01)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [(ABOVE, "above"), (INSIDE, "inside"), (BELOW, "below"), ((0.0, 0.02), "inside")],
    ids=["above", "inside", "below", "touching zero"],
)
def test_where_an_interval_stands(interval, expected):
    held = Difference("gpt2", "baseline", Estimate(sum(interval) / 2, *interval), paired=False)
    assert standing(held) == expected


def test_an_advantage_is_a_reason_to_verify_and_no_more(data):
    assert summary(differing(data, ABOVE, ABOVE)).startswith("Both intervals exclude zero. That is")
    assert "reason enough to verify it, and no more" in summary(differing(data, ABOVE))


def test_inside_the_noise_is_said_plainly(data):
    assert "nothing that seed noise and selection would not explain" in summary(
        differing(data, INSIDE, BELOW)
    )
    assert summary(differing(data, INSIDE)).startswith("It is not shown to be better")


def test_better_than_one_of_two_names_both(data):
    words = summary(differing(data, ABOVE, INSIDE))
    assert words == (
        "Better than the root, deltanet, but not shown to be better than the best human baseline, "
        f"{data.best_baseline.name}."
    )


def test_without_anything_to_compare(data):
    assert summary(differing(data)) == "With nothing to compare it with, its score says little."
    assert bars(differing(data)) == ()


def test_before_the_first_result_and_without_found_genomes(data):
    assert summary(without_results(data)).startswith("No trial has finished yet")
    human = replace(data, best=[row for row in data.best if row.role != "found"])
    assert summary(human).startswith("No found genome has an estimate yet")


def test_bars_share_one_scale_with_zero_on_it(data):
    first, second = bars(differing(data, (0.01, 0.03), (-0.01, 0.01)))
    assert first.zero == second.zero
    assert second.low < second.zero < first.low < first.high
    assert (first.verdict, second.verdict) == ("above the noise", "inside the noise")
    assert (second.low, first.high) == (10, 190)
