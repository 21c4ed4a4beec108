"""The campaigns that exams leave in a store are not searches, and no command takes them for one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from typer.testing import Result

from palmette.cli._print import cell
from palmette.cli._resolve import resolve
from palmette.cli.doctor import _store as doctors_look
from palmette.model import parse
from palmette.records import Rate, StatusRow
from palmette.store import Store
from palmette.store.exams import ExamRoom
from palmette.testing.example_exams import example_plan, example_verdict
from palmette.testing.example_records import (
    example_candidate,
    example_result,
    example_root,
    example_trial_spec,
)
from tests.cli.conftest import FOUND, Grown

Run = Callable[..., Result]
OTHER = "lm(pre(glu()))"


@pytest.fixture
def examined(grown: Grown) -> Grown:
    """The store after an exam that verified one of two hypotheses, and one that was just begun."""
    with Store(grown.url) as store:
        campaign = store.latest()
        campaign.commit_draw()
        room = ExamRoom(store)
        room.open_draw(campaign, 1)
        for _ in range(2):
            room.begin(campaign, lambda number, led: example_plan(len(led) + 1, (0.01, 0.02)))
        one, two = room.exam(1).plan.hypotheses
        room.finish(1, [example_verdict(one), example_verdict(two, verified=False)], [], None)
        for name, kind in (("tune-gpt2", "tune"), ("exam-1", "exam")):
            own = campaign.config.model_copy(update={"name": name, "kind": kind})
            made = store.create_campaign(own)
            made.add_candidate(example_root(FOUND, genome=grown.found, name="candidate 1"))
            made.add_candidate(example_candidate(parse(OTHER).text, genome=parse(OTHER).hash))
            spec = example_trial_spec(genome=grown.found, suite="exam/0123456789abcdef")
            trial = made.queue(spec).trial
            made.start(trial, 0.0)
            made.finish(trial, example_result(), 1.0)
    return grown


def test_status_tells_the_draw_and_the_exams(palmette: Run, examined: Grown) -> None:
    result = palmette("status", "--storage", examined.url, "-f", "json")
    row = StatusRow.model_validate_json(result.stdout)
    assert (row.campaign, row.exams, row.verified) == ("first", 2, 1)
    with Store(examined.url, create=False) as store:
        assert row.draw == store.campaign("first").draws()[0].commitment
    assert row.placebo_rate is None  # its placebo was stopped below the last rung


def test_status_of_a_campaign_that_has_neither(palmette: Run, grown: Grown) -> None:
    result = palmette("status", "--storage", grown.url, "-f", "json")
    row = StatusRow.model_validate_json(result.stdout)
    assert (row.draw, row.exams, row.verified) == (None, 0, 0)


@pytest.mark.parametrize("command", ["best", "tree", "status", "trace", "report", "export", "show"])
def test_an_exam_is_not_ranked(palmette: Run, examined: Grown, command: str) -> None:
    genome = [examined.found] if command in ("trace", "export", "show") else []
    output = ["-o", "x.py"] if command == "export" else []
    result = palmette(command, *genome, *output, "--storage", examined.url, "--campaign", "exam-1")
    assert result.exit_code == 2
    told = "'exam-1' holds the trials of an exam; run the same `palmette verify` again to see it"
    assert told in result.stderr


def test_the_trials_of_an_exam_can_be_listed(palmette: Run, examined: Grown) -> None:
    arguments = ("--storage", examined.url, "--campaign", "exam-1", "-f", "json")
    (row,) = json.loads(palmette("trials", *arguments).stdout)
    assert row["suite"] == "exam/0123456789abcdef"
    assert row["metrics"] is not None
    assert row["score"] is None  # it is an exam's endpoint, not a rung's score


def test_a_tuned_baseline_is_ranked_on_request(palmette: Run, examined: Grown) -> None:
    arguments = ("--storage", examined.url, "-f", "json")
    assert len(json.loads(palmette("best", *arguments).stdout)) == 5  # of the search
    result = palmette("tree", *arguments, "--campaign", "tune-gpt2")
    assert len(json.loads(result.stdout)) == 2


def test_a_genome_goes_by_its_name_in_the_search(examined: Grown) -> None:
    assert resolve(examined.found[:8], examined.url, None).name is None
    assert resolve(examined.found[:8], examined.url, "exam-1").name == "candidate 1"
    only_there = parse(OTHER)
    assert resolve(only_there.hash[:12], examined.url, None).genome == only_there


def test_doctor_tells_exams_apart(examined: Grown) -> None:
    assert doctors_look(examined.url).detail.endswith("campaigns first; exams: 1")


def test_a_rate_is_told_with_its_bound() -> None:
    rate = Rate(happened=0, cases=10, bound=0.2589)
    assert cell("placebo_rate", rate) == "0 of 10: at most 26 % (95 % sure)"
