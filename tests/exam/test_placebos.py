import pytest

from palmette.exam.judge import judge
from palmette.exam.placebos import placebo_rate
from palmette.records import StoredExam
from tests.exam import made
from tests.exam.made import drawn, entry, hypothesis

AGAIN = entry("deltanet again", "placebo", expression="lm(deltanet)", replica=1)
PLAN = made.plan(
    (*made.ENTRIES, AGAIN), (hypothesis(), hypothesis(number=2, league="constant-state"))
)
MEANS = {"found": 0.4, "gpt2": 0.3, "deltanet": 0.4}


def exam(number: int, score: float, state: str = "finished") -> StoredExam:
    held = drawn(MEANS | {AGAIN.label: score}, noise=0.001)
    placebos = judge(PLAN, held).placebos
    assert len(placebos) == 2  # one a league
    return StoredExam(
        number=number,
        campaign="first",
        sitting=f"exam-{number}",
        state=state,  # type: ignore[arg-type]
        plan=PLAN,
        placebos=placebos,
    )


def test_no_placebo_bounds_nothing():
    assert placebo_rate([]) is None


def test_a_placebo_counts_once_however_many_leagues_it_was_in():
    rate = placebo_rate([exam(1, 0.35), exam(2, 0.5), exam(3, 0.35)])
    assert rate is not None
    assert (rate.happened, rate.cases) == (1, 3)
    assert rate.bound == pytest.approx(0.8647, abs=1e-4)  # 1 - x: (1-x)^3 + 3 x (1-x)^2 = 0.05


def test_an_exam_that_is_not_over_does_not_count():
    assert placebo_rate([exam(1, 0.5, "running")]) is None
