"""Packs in executors: one process and one worker for several trials, a report for each."""

import re

import pytest
from misbehaving import make, spec
from tiny import numbers, tiny_spec

from palmette.ops.kernels.native.library import unavailable
from palmette.train.executor import Inline, Member
from palmette.train.pack import Around
from palmette.train.pack import run_pack as run_pack_here
from palmette.train.pool import Pool


def members(*expressions):
    return [Member(spec(expression, seed)) for seed, expression in enumerate(expressions)]


def run_pack(executor, *expressions):
    pack = members(*expressions)
    executor.submit_pack(pack)
    ended = []
    while len(ended) < len(pack):
        ended += executor.wait(30)
    by_key = {one.key: one for one in ended}
    return [by_key[member.spec.key] for member in pack]


@pytest.fixture(scope="module")
def pool():
    limits = {"memory_limit_bytes": 400 * 2**20, "trial_seconds_limit": 6.0}
    with Pool(2, None, runner="misbehaving:make", **limits) as pool:
        yield pool


@pytest.fixture(scope="module")
def together():
    with Pool(1, None, runner="misbehaving:make_together") as pool:
        yield pool


def test_a_pack_is_one_process_and_takes_one_worker(pool):
    pack = members("hang", "nothing")
    pool.submit_pack(pack)
    assert pool.free == 1
    while not pool.progress:
        assert pool.wait(0.05) == []
    assert list(pool.progress) == [pack[0].spec.key]
    assert len(pool.pids) == 2  # the server and the pack
    pool.kill(pack[1].spec.key)
    ended = pool.wait(30)
    ended += pool.wait(30) if len(ended) < 2 else []
    assert {one.key for one in ended} == {member.spec.key for member in pack}
    assert {(one.outcome, one.reason) for one in ended} == {("lost", "killed on request")}
    assert pool.free == 2


def test_without_a_runner_for_packs_members_run_one_after_another(pool):
    ended = run_pack(pool, "nothing", "fail", "diverge", "nothing")
    assert [one.outcome for one in ended] == ["done", "failed", "failed", "done"]
    assert len({one.result.machine for one in ended if one.result}) == 1  # of one process
    for one in ended:
        if one.result:
            assert one.result.phases["process"] == pytest.approx(one.result.wall_seconds)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("crash", "killed by SIGSEGV"),
        ("eat", r"over its memory limit of 0\.3906 GiB"),
        ("leave", "its process ended with status 3 and without a result"),
    ],
)
def test_what_a_lost_process_has_ended_counts_and_the_rest_is_lost(pool, expression, reason):
    first, second, third = run_pack(pool, "nothing", expression, "nothing")
    assert first.outcome == "done"
    for one in (second, third):
        assert one.outcome == "lost"
        assert re.fullmatch(reason, one.reason)


def test_a_result_of_a_pack_has_its_share_of_the_seconds(together):
    ended = run_pack(together, "nothing", "nothing", "nothing")
    for one in ended:
        assert one.outcome == "done"
        assert one.result.members == 3
        assert one.result.wall_seconds >= 0.05 / 3
        assert 3 * one.result.wall_seconds <= one.seconds
        assert one.result.phases["process"] == pytest.approx(one.result.wall_seconds)


def test_a_member_may_fail_alone_and_all_may_be_lost(together):
    failed, done = run_pack(together, "diverge", "nothing")
    assert (failed.outcome, failed.reason) == ("failed", "it diverged")
    assert done.outcome == "done"
    for expression, reason in (("exhaust", "out of memory"), ("fail", "ValueError: no such knob")):
        ended = run_pack(together, "nothing", expression)
        assert [(one.outcome, one.reason) for one in ended] == [("lost", reason)] * 2
    blocked = run_pack(together, "nothing", "fill_the_disk")
    assert {one.outcome for one in blocked} == {"blocked"}


def test_inline_runs_packs_as_the_pool_does():
    with Inline(make(None, None)) as executor:
        ended = run_pack(executor, "nothing", "fail", "exhaust")
        assert [one.outcome for one in ended] == ["done", "failed", "lost"]
        pack = members("nothing", "hang")
        executor.submit_pack(pack)
        assert executor.free == 0
        executor.kill(pack[1].spec.key)
        assert [one.reason for one in executor.wait()] == ["killed on request"] * 2


@pytest.mark.skipif(unavailable() is not None, reason="no C++ compiler")
def test_real_packs_import_nothing_late_and_have_the_same_bits_everywhere():
    fields = {"kernel": "native-packed", "suite": "parity", "batch_size": 4, "tokens": 3 * 4 * 63}
    specs = [tiny_spec("lm(stack(pre(attn()), pre(glu())))", seed=s, **fields) for s in (0, 0, 1)]
    specs[1] = specs[1].model_copy(update={"learning_rate": 1e-2})
    pack = [Member(spec) for spec in specs]
    here = dict(run_pack_here(pack, Around()))
    with Pool(1, None, runner="misbehaving:make_watched") as pool:
        pool.submit_pack(pack)
        ended = [one for _ in range(3) if pool.free == 0 for one in pool.wait(60)]
    assert {one.key: one.reason for one in ended} == dict.fromkeys(here)
    for one in ended:
        assert one.result.kernel == "native-packed"
        assert numbers(one.result) == numbers(here[one.key])
