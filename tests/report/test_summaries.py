import pytest

from palmette.ladder.scales import pocket
from palmette.records import TreeRow
from palmette.report import summaries


def row(genome: str, score: float | None, *parents: str, edit: str | None = None) -> TreeRow:
    return TreeRow(
        genome=genome, expression=genome, replica=0, role="found" if parents else "root",
        name=None, parents=parents, edit=edit, edit_text=None, proposer=None, motivation=None,
        prediction=None, score=score, rung="1",
    )  # fmt: skip


TREE = [
    row("a", 0.40),
    row("b", 0.43, "a", edit="tune"),
    row("c", 0.42, "b", "a", edit="graft"),
    row("d", None, "b", edit="tune"),
    row("e", 0.41, "d", edit="tune"),
]


def test_outcomes_need_a_score_on_both_ends():
    changes = {held.row.genome: held.change for held in summaries.outcomes(TREE)}
    assert changes == pytest.approx({"b": 0.03, "c": -0.01})


def test_an_edit_measured_once_has_a_mean_and_no_interval():
    tune, graft = summaries.edits(TREE, frozenset({("d", 0)}))
    assert (tune.edit, tune.count, tune.failed, tune.improved) == ("tune", 3, 1, 1)
    assert tune.mean == pytest.approx(0.03)
    assert (tune.low, tune.high) == (None, None)
    assert (graft.count, graft.improved) == (1, 0)


def test_ancestry_follows_first_parents_from_the_root():
    steps = summaries.ancestry(TREE, "c")
    assert [step.row.genome for step in steps] == ["a", "b", "c"]
    assert [step.change for step in steps] == [None, pytest.approx(0.03), pytest.approx(-0.01)]


def test_ancestry_says_nothing_where_a_score_is_missing():
    assert [step.change for step in summaries.ancestry(TREE, "e")][2:] == [None, None]


def test_ancestry_ends_where_parents_run_in_a_circle():
    circle = [row("x", 0.1, "y"), row("y", 0.2, "x")]
    assert [step.row.genome for step in summaries.ancestry(circle, "x")] == ["y", "x"]


def test_a_genome_failed_if_no_trial_of_it_finished(data):
    dead = summaries.failed(data.trials)
    assert dead
    for trial in data.trials:
        key = (trial.spec.genome, trial.spec.replica)
        assert (key in dead) == (trial.state == "failed")


def test_a_genome_with_an_open_trial_has_not_failed(data):
    trial = next(trial for trial in data.trials if trial.state == "failed")
    running = trial.model_copy(update={"state": "running", "reason": None})
    assert summaries.failed([trial, running]) == frozenset()


def test_rungs_count_what_ran_there(data):
    first, second, third = summaries.rungs(data.trials)
    assert [rung.name for rung in (first, second, third)] == ["1", "2", "3"]
    assert first.done + first.failed == first.trials == 3 * first.genomes
    assert first.rates == pocket().learning_rates
    assert third.seeds == (2000, 2001)
    assert summaries.rungs([]) == ()


def test_failures_are_grouped_by_reason_the_most_frequent_first(data):
    found = summaries.failures(data.trials)
    numbers = [number for _, number, _ in found]
    assert numbers == sorted(numbers, reverse=True)
    assert sum(numbers) == sum(trial.state == "failed" for trial in data.trials)
    assert any("diverged" in reason for reason, _, _ in found)


def test_a_failure_without_a_reason_is_listed_as_such(data):
    trial = next(trial for trial in data.trials if trial.state == "failed")
    ((reason, number, _),) = summaries.failures([trial.model_copy(update={"reason": None})])
    assert (reason, number) == ("no reason was recorded", 1)


def test_lost_attempts_are_those_before_the_last(data):
    trial = data.trials[0]
    held = [trial.model_copy(update={"attempts": n}) for n in (0, 1, 3)]
    assert summaries.lost_attempts(held) == 2
