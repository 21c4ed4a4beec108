"""A stranger that comes while a pool runs: a locked-down server takes over, nothing is lost."""

import os
import signal
from pathlib import Path

import pytest
from tiny import tiny_spec

from palmette import ops
from palmette.model.stranger.describe import describe
from palmette.model.stranger.node import admit, expression
from palmette.model.stranger.source import Source
from palmette.tasks import VOCABULARY
from palmette.train.pool import Pool

FILE = Path(__file__).parents[1] / "strangers" / "average.txt"


def layer(number):
    """A good layer, as a model might write it. Its text is ours, so it may run here."""
    source = Source(f"idea_{number}.py", FILE.read_text("utf-8"))
    return describe(source, None, {}, VOCABULARY)


@pytest.fixture(scope="module")
def strangers():
    found = [layer(1), layer(2)]
    for own in found:
        admit(own)
    yield found
    for own in found:
        ops.dismiss(own.name)


def spec(text="stack(pre(glu()))", **changed):
    return tiny_spec(text, suite="recall", tokens=3 * 8 * 63, **changed)


def ended_of(pool):
    ended = []
    while pool.free < pool.workers:
        ended += pool.wait(60)
    return {one.key: one for one in ended}


def test_trials_before_and_after_an_admission_all_end(strangers, tmp_path):
    first, second = strangers
    ours = spec(seed=1)
    theirs = [spec(expression(own)) for own in strangers]
    with Pool(3, None, weights=tmp_path / "weights") as pool:
        pool.submit(ours)
        before = pool.pids[0]
        assert pool.protection is None
        pool.admit(first)
        pool.admit(first)  # twice does no harm
        assert pool.protection is not None
        pool.submit(theirs[0], tmp_path / "weights" / "trained.pt")
        pool.admit(second)  # into a server that runs already
        pool.submit(theirs[1])
        ended = ended_of(pool)
        assert before not in pool.pids
        assert len(pool.pids) == 1
    outcomes = {key: (one.outcome, one.reason, one.detail) for key, one in ended.items()}
    assert outcomes == {one.key: ("done", None, None) for one in (ours, *theirs)}
    assert (tmp_path / "weights" / "trained.pt").exists()


def test_a_killed_server_comes_back_with_all_strangers(strangers):
    with Pool(1, None) as pool:
        for own in strangers:
            pool.admit(own)
        pool.submit(spec(expression(strangers[1])))
        os.kill(pool.pids[0], signal.SIGKILL)
        (lost,) = ended_of(pool).values()
        assert lost.outcome == "lost"
        pool.submit(spec(expression(strangers[1])))
        (done,) = ended_of(pool).values()
        assert done.outcome == "done", done.detail or done.reason
