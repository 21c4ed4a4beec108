import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from misbehaving import spec
from tiny import numbers, tiny_spec

from palmette.errors import PalmetteError, UserError
from palmette.train.host import server_environment
from palmette.train.loop import run_trial
from palmette.train.pool import Pool

RUNNER = "misbehaving:make"


def gone(pid):
    """Whether a process has ended; one that only waits to be collected has."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def assert_gone(pids, seconds=2.0):
    deadline = time.monotonic() + seconds
    while not all(map(gone, pids)):
        left = [pid for pid in pids if not gone(pid)]
        assert time.monotonic() < deadline, f"still there after {seconds} s: {left}"
        time.sleep(0.02)


def run_all(pool, specs):
    waiting, ended = list(specs), []
    while waiting or pool.free < pool.workers:
        while waiting and pool.free:
            pool.submit(waiting.pop(0))
        ended += pool.wait(30)
    return ended


def wait_for_points(pool, count):
    """Waits until so many trials have reported a point, that is, run."""
    deadline = time.monotonic() + 30
    while len(pool.progress) < count:
        assert pool.wait(0.05) == []
        assert time.monotonic() < deadline, "no point came"


@pytest.fixture(scope="module")
def pool():
    limits = {"memory_limit_bytes": 400 * 2**20, "trial_seconds_limit": 6.0}
    with Pool(2, None, runner=RUNNER, commit="abc", **limits) as pool:
        yield pool
        pids = pool.pids
    assert_gone(pids)


@pytest.mark.parametrize(
    ("expression", "outcome", "reason"),
    [
        ("nothing", "done", None),
        ("print_garbage", "done", None),
        ("report_often", "done", None),
        ("fail_at_length", "failed", r"ValueError: x{1000000}"),
        ("crash", "lost", r"killed by SIGSEGV"),
        ("leave", "lost", r"its process ended with status 3 and without a result"),
        ("exit_politely", "lost", r"its process ended with status 1 and without a result"),
        ("exhaust", "lost", r"out of memory"),
        ("exhaust_torch", "lost", r"out of memory"),
        ("eat", "lost", r"over its memory limit of 0\.3906 GiB"),
        ("eat_in_a_child", "lost", r"over its memory limit of 0\.3906 GiB"),
        ("fail", "failed", r"ValueError: no such knob"),
        ("diverge", "failed", r"diverged at 4,096 tokens: loss is nan"),
    ],
)
def test_how_trials_end(pool, expression, outcome, reason):
    (ended,) = run_all(pool, [spec(expression)])
    assert ended.outcome == outcome
    if reason is None:
        assert ended.reason is None
    else:
        assert re.fullmatch(reason, ended.reason)
    assert (ended.result is not None) == (outcome == "done")
    assert ended.key == spec(expression).key


def test_an_error_comes_with_its_traceback_and_a_trial_error_without(pool):
    (failed,) = run_all(pool, [spec("fail")])
    assert "in fail" in failed.detail
    (diverged,) = run_all(pool, [spec("diverge")])
    assert diverged.detail is None


def test_the_process_is_accounted_for(pool):
    (ended,) = run_all(pool, [spec("nothing")])
    assert ended.result.commit == "abc"
    assert 0 < ended.result.wall_seconds <= ended.seconds
    assert ended.result.phases["process"] == pytest.approx(ended.result.wall_seconds)


def test_as_many_workers_as_processors_have_one_each(pool, tmp_path):
    meetings = [spec(f"meet {tmp_path} a b"), spec(f"meet {tmp_path} b a")]
    machines = {ended.result.machine.partition(", ")[2] for ended in run_all(pool, meetings)}
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) == pool.workers:
        assert machines == {f"processors [{number}]" for number in processors}
    else:
        assert machines == {f"processors {processors}"}


def test_two_trials_run_at_once(pool, tmp_path):
    pool.submit(spec(f"meet {tmp_path} one two"))
    assert pool.free == 1
    pool.submit(spec(f"meet {tmp_path} two one"))
    assert pool.free == 0
    ended = pool.wait(30)
    while pool.free < 2:
        ended += pool.wait(30)
    assert [e.outcome for e in ended] == ["done", "done"]


def test_a_killed_trial_leaves_no_child(pool, tmp_path):
    (ended,) = run_all(pool, [spec(f"orphan {tmp_path / 'pid'}")])
    assert ended.reason == "killed by SIGKILL (the system may have run out of memory)"
    assert_gone([int((tmp_path / "pid").read_text())])


def process_of(ended):
    return ended.result.machine.partition(",")[0]


@pytest.fixture(scope="module")
def pool_again():
    with Pool(2, None, runner="misbehaving:make_again", trial_seconds_limit=6.0) as pool:
        yield pool


def test_a_process_whose_trial_ended_well_runs_the_next(pool_again):
    first, second = (run_all(pool_again, [spec("nothing", seed)])[0] for seed in (0, 1))
    assert process_of(first) == process_of(second)
    (third,) = run_all(pool_again, [spec("diverge")])
    (fourth,) = run_all(pool_again, [spec("nothing")])
    assert third.outcome == "failed"
    assert process_of(fourth) == process_of(first)
    assert fourth.result.phases["process"] == pytest.approx(fourth.result.wall_seconds)
    assert 0 < fourth.result.wall_seconds <= fourth.seconds


@pytest.mark.parametrize("expression", ["fail", "crash", "leave", "exhaust"])
def test_after_any_accident_there_is_a_new_process(pool_again, expression):
    (before,) = run_all(pool_again, [spec("nothing")])
    (accident,) = run_all(pool_again, [spec(expression)])
    assert accident.outcome in ("failed", "lost")
    (after,) = run_all(pool_again, [spec("nothing")])
    assert process_of(after) != process_of(before)


def test_a_process_killed_while_it_waits_costs_at_most_an_attempt(pool_again):
    (before,) = run_all(pool_again, [spec("nothing")])
    os.kill(int(process_of(before).split()[1]), signal.SIGKILL)
    (ended,) = run_all(pool_again, [spec("nothing")])
    assert ended.outcome in ("done", "lost")
    (after,) = run_all(pool_again, [spec("nothing")])
    assert after.outcome == "done"
    assert process_of(after) != process_of(before)


def test_processes_that_wait_end_with_the_pool():
    with Pool(2, None, runner="misbehaving:make_again") as pool:
        waiting = {process_of(done) for done in run_all(pool, [spec("nothing")])}
        pids = [*pool.pids, *(int(name.split()[1]) for name in waiting)]
    assert_gone(pids)


def test_a_trial_after_another_has_its_bits_and_its_own_peak(tmp_path):
    real = tiny_spec(suite="recall", tokens=5 * 8 * 63)
    large = tiny_spec(suite="recall", tokens=512 * 63, batch_size=512)
    with Pool(1, None) as pool:
        (before,) = run_all(pool, [large])
        (after,) = run_all(pool, [real])
    assert numbers(after.result) == numbers(run_trial(real, None))
    assert after.result.peak_bytes < before.result.peak_bytes - 50e6


def test_progress_and_killing_on_request(pool):
    hanging = spec("ignore_signals")
    pool.submit(hanging)
    wait_for_points(pool, 1)
    assert pool.progress[hanging.key].tokens == 7
    assert len(pool.pids) == 2
    pids = pool.pids[1:]
    pool.kill(hanging.key)
    (ended,) = pool.wait(5)
    assert (ended.outcome, ended.reason) == ("lost", "killed on request")
    assert pool.progress == {}
    assert_gone(pids)
    pool.kill(hanging.key)  # what has ended is left alone


def test_waiting_for_nothing_returns_at_once(pool):
    assert pool.wait() == []


def test_an_over_long_trial_is_lost():
    with Pool(1, None, trial_seconds_limit=0.3, runner=RUNNER) as pool:
        (ended,) = run_all(pool, [spec("hang")])
    assert (ended.outcome, ended.reason) == ("lost", "over its time limit of 0.3 s")


def test_closing_ends_what_runs():
    with Pool(2, None, runner=RUNNER) as pool:
        pool.submit(spec("hang"))
        pool.submit(spec("ignore_signals"))
        wait_for_points(pool, 2)
        pids = pool.pids
        assert len(pids) == 3
    assert_gone(pids)
    pool.close()  # twice does no harm


def test_a_killed_server_loses_its_trials_and_is_replaced():
    with Pool(2, None, runner=RUNNER) as pool:
        for expression in ("hang", "ignore_signals"):
            pool.submit(spec(expression))
        wait_for_points(pool, 2)
        before = pool.pids
        os.kill(before[0], signal.SIGKILL)
        ended = pool.wait(5)
        assert {e.reason for e in ended} == {"the trial server ended with status -9"}
        assert [e.outcome for e in ended] == ["lost", "lost"]
        assert_gone(before)
        assert pool.free == 2
        (again,) = run_all(pool, [spec("nothing")])
        assert again.outcome == "done"
        after = pool.pids
    assert_gone(after)


def test_a_server_killed_while_idle_costs_one_attempt():
    with Pool(1, None, runner=RUNNER) as pool:
        run_all(pool, [spec("nothing")])
        os.kill(pool.pids[0], signal.SIGKILL)
        assert_gone(pool.pids)
        (lost,) = run_all(pool, [spec("nothing")])
        assert lost.reason == "the trial server ended with status -9"
        (done,) = run_all(pool, [spec("nothing")])
        assert done.outcome == "done"


def test_a_server_that_cannot_start_is_an_error_that_says_why():
    with Pool(1, None, runner="misbehaving:make_broken") as pool:
        pool.submit(spec("nothing"))
        (lost,) = pool.wait(20)
        assert lost.reason == "the trial server ended with status 1"
        pool.submit(spec("nothing"))
        with pytest.raises(PalmetteError, match=r"twice without a trial (.|\n)*in this teapot"):
            pool.wait(20)


def test_a_server_that_is_killed_again_and_again_is_told_in_a_sentence():
    with Pool(1, None, runner=RUNNER) as pool:
        pool.submit(spec("hang"))
        os.kill(pool.pids[0], signal.SIGKILL)
        (lost,) = pool.wait(20)
        assert lost.outcome == "lost"
        pool.submit(spec("hang"))
        os.kill(pool.pids[0], signal.SIGKILL)
        with pytest.raises(UserError, match=r"killed by SIGKILL twice in a row.*--workers 1"):
            pool.wait(20)


HOLDER = """
import time
from misbehaving import spec
from palmette.train.loop import run_trial
from palmette.train.pool import Pool
pool = Pool(2, None, runner="misbehaving:make")
pool.submit(spec("hang"))
pool.submit(spec("ignore_signals"))
while len(pool.progress) < 2:
    pool.wait(0.05)
print(*pool.pids, flush=True)
time.sleep(60)
"""


def test_a_killed_holder_leaves_no_orphan():
    environment = server_environment()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], env=environment, stdout=subprocess.PIPE, text=True
    )
    with holder:
        pids = [int(word) for word in holder.stdout.readline().split()]
        assert len(pids) == 3
        assert not any(map(gone, pids))
        holder.kill()
    assert_gone(pids)


def test_a_server_ends_its_trials_when_its_commands_close():
    pool = Pool(1, None, runner=RUNNER)
    pool.submit(spec("ignore_signals"))
    wait_for_points(pool, 1)
    pids = pool.pids
    (host,) = pool._hosts
    host.process.stdin.close()
    host.process.wait(5)
    assert host.process.returncode == 0
    assert_gone(pids)
    pool.close()


def test_ctrl_c_is_for_the_holder_alone():
    with Pool(1, None, runner=RUNNER) as pool:
        pool.submit(spec("hang"))
        wait_for_points(pool, 1)
        for pid in pool.pids:
            os.kill(pid, signal.SIGINT)
        assert pool.wait(0.5) == []
        assert not any(map(gone, pool.pids))


def test_a_real_trial_finds_everything_imported_and_gives_the_same_bits(tmp_path):
    real = tiny_spec(suite="recall", tokens=5 * 8 * 63)
    with Pool(1, None, runner="misbehaving:make_watched") as pool:
        pool.submit(real, tmp_path / "best.pt")
        (ended,) = pool.wait(60)
    assert ended.outcome == "done", ended.detail
    assert numbers(ended.result) == numbers(run_trial(real, None))
    assert ended.result.weights == "best.pt"
    assert (tmp_path / "best.pt").exists()


def test_the_server_imports_from_where_its_holder_does(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/elsewhere"])
    assert server_environment()["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/elsewhere"


def test_the_environment_is_for_one_thread_and_keeps_what_was_set(monkeypatch):
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=3")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    environment = server_environment()
    assert environment["OMP_NUM_THREADS"] == "1"
    assert "glibc.malloc.check=3" in environment["GLIBC_TUNABLES"]
