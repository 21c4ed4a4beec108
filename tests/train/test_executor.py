import pytest
from misbehaving import make, spec
from tiny import numbers, tiny_spec

from palmette.train.executor import Executor, Inline
from palmette.train.loop import run_trial


def inline():
    executor: Executor = Inline(make(None, "abc"))  # mypy holds it against the Protocol
    return executor


@pytest.mark.parametrize(
    ("expression", "outcome", "reason"),
    [
        ("nothing", "done", None),
        ("exhaust", "lost", "out of memory"),
        ("exhaust_torch", "lost", "out of memory"),
        ("fill_the_disk", "blocked", "No space left on device"),
        ("fail", "failed", "ValueError: no such knob"),
        ("diverge", "failed", "diverged at 4,096 tokens: loss is nan"),
    ],
)
def test_inline_sorts_endings_as_the_pool_does(expression, outcome, reason):
    with inline() as executor:
        executor.submit(spec(expression))
        assert executor.free == 0
        (ended,) = executor.wait()
        assert (ended.outcome, ended.reason) == (outcome, reason)
        assert ended.key == spec(expression).key
        assert executor.free == 1
        assert executor.wait() == []


def test_inline_runs_real_trials():
    real = tiny_spec(suite="parity", tokens=2 * 8 * 63)
    executor = Inline(lambda spec, weights, tell: run_trial(spec, None, weights, tell))
    executor.submit(real)
    (ended,) = executor.wait()
    assert numbers(ended.result) == numbers(run_trial(real, None))
    assert executor.progress == {}


def test_a_trial_killed_before_it_ran_is_lost():
    executor = inline()
    executor.submit(spec("nothing"))
    executor.kill("another key")
    executor.kill(spec("nothing").key)
    (ended,) = executor.wait()
    assert (ended.outcome, ended.reason) == ("lost", "killed on request")


def test_submitting_to_a_busy_executor_is_our_mistake():
    executor = inline()
    executor.submit(spec("nothing"))
    with pytest.raises(AssertionError, match="no worker is free"):
        executor.submit(spec("nothing", seed=1))


def test_closing_forgets_what_waits():
    executor = inline()
    executor.submit(spec("nothing"))
    executor.close()
    assert executor.free == 1
    assert executor.wait() == []
