"""The record of an exam that was held, read from its store."""

import pytest

from palmette.errors import UserError
from palmette.exam.summary import exam_record, spent, summary
from palmette.store import Store
from palmette.store.exams import ExamRoom
from palmette.testing.example_exams import example_plan
from palmette.testing.example_records import example_config
from tests.exam.held import held


def test_a_held_exam_in_one_record(path, corpus):
    stored, trials = held(path, corpus)
    with Store(f"sqlite:///{path}") as store:
        exam = summary(store, stored.number)
    assert exam.state == "finished"
    assert exam.verdicts == stored.verdicts
    assert all(one.look is not None and one.sentence for one in exam.verdicts)
    assert {one.label for one in exam.sat} <= {entry.label for entry in exam.plan.entries}
    assert exam.draw.secret is not None
    assert exam.placebo_rate is not None
    assert exam.placebo_rate.cases == len({one.hypothesis.candidate for one in exam.placebos})
    assert exam.nulls is not None
    assert exam.nulls.exams == 1000
    assert [row.hypothesis for row in exam.ledger] == list(exam.plan.hypotheses)
    assert [row.p for row in exam.ledger] == [one.p for one in exam.verdicts]
    assert exam.spent is not None
    assert exam.spent.trials == len(trials)
    assert exam.spent.worker_seconds == pytest.approx(sum(t.result.wall_seconds for t in trials))
    bare = exam_record(stored, exam.draw, trials, [], exam.ledger, exam.canary)
    assert bare.model_copy(update={"placebo_rate": exam.placebo_rate}) == exam
    failed = trials[0].model_copy(update={"state": "failed", "result": None})
    queued = trials[1].model_copy(update={"state": "queued", "result": None})
    told = spent([failed, queued, trials[2]])
    assert (told.trials, told.failed) == (2, 1)
    assert told.worker_seconds == trials[2].result.wall_seconds


def test_an_exam_that_has_only_begun(tmp_path):
    with Store(f"sqlite:///{tmp_path}/p.db") as store:
        campaign = store.create_campaign(example_config(), draw=True)
        room = ExamRoom(store)
        room.open_draw(campaign, 1)
        number = room.begin(campaign, lambda number, ledger: example_plan())
        exam = summary(store, number)
        assert exam.state == "running"
        assert (exam.sat, exam.verdicts, exam.spent) == ((), (), None)
        assert exam.placebo_rate is None
        with pytest.raises(UserError, match="holds no exam 7"):
            summary(store, 7)
