"""The fork server is ready before a trial comes: libraries loaded or being built, one thread."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_pool import assert_gone
from test_pool_admits import ended_of, layer, spec
from tiny import numbers

from palmette import ops
from palmette.model.stranger.node import admit, expression
from palmette.ops.forms import KERNELS, PACKED
from palmette.ops.kernels.native import library, ready
from palmette.train.host import server_environment
from palmette.train.loop import run_trial
from palmette.train.pool import Pool

pytestmark = pytest.mark.skipif(library.unavailable() is not None, reason="no compiler")

SERVER = """
import json, os, sys
from palmette.train.warm import make_runner
runner = make_runner(None, None)
runner.prepare(["native"])
assert "torch._dynamo" not in sys.modules
runner.prepare(["torch"])
mapped = {line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith(".so")}
print(json.dumps([len(os.listdir("/proc/self/task")), sorted(mapped)]))
"""


@pytest.fixture
def stranger():
    own = layer(1)
    admit(own)
    yield own
    ops.dismiss(own.name)


def names(folder):
    return {path.name.rpartition("-")[0] for path in Path(folder).glob("*.so")}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_all_kernels_are_loaded_before_the_first_fork_and_no_thread_runs():
    ready.build(ready.every())
    said = subprocess.run(
        [sys.executable, "-c", SERVER],
        env=server_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    threads, mapped = json.loads(said.stdout)
    assert threads == 1
    kept = {str(library.folder() / build.file()) for build in ready.every()}
    assert kept <= set(mapped)


def test_a_trial_does_not_wait_until_all_kernels_are_built(tmp_path, monkeypatch):
    ours = spec(kernel="native")
    wanted = numbers(run_trial(ours, None))
    monkeypatch.setenv("PALMETTE_KERNELS", str(tmp_path / "kernels"))
    with Pool(1, None) as pool:
        pool.submit(ours)
        (done,) = ended_of(pool).values()
        assert done.outcome == "done", done.detail or done.reason
        assert numbers(done.result) == wanted
        deadline = time.monotonic() + 60
        first = {build.source for build in ready.every()[:2]}
        while not first | {"adamw"} <= names(tmp_path / "kernels"):
            assert time.monotonic() < deadline, "no kernel was built ahead"
            time.sleep(0.05)


BUILDER = """
import os, time
from palmette.ops.kernels.native import ready
from palmette.train.warm import _in_background
place = os.environ["PALMETTE_KERNELS"]
pid = _in_background(lambda: ready.build(ready.every()))
while not any(name.startswith("build-") for name in os.listdir(place)):
    time.sleep(0.01)
print(pid)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the builder ends its work")
def test_a_server_that_ends_takes_its_builder_along(tmp_path, monkeypatch):
    slow = tmp_path / "slow"
    slow.write_text('#!/bin/sh\ncase "$1" in --version) echo slow 1.0;; *) exec sleep 60;; esac\n')
    slow.chmod(0o755)
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    monkeypatch.setenv("CXX", str(slow))
    monkeypatch.setenv("PALMETTE_KERNELS", str(kernels))
    command = [sys.executable, "-c", BUILDER]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    assert_gone([int(said.stdout)], 10)
    assert not [*kernels.glob("build-*")]


@pytest.mark.parametrize("kernel", [*KERNELS, *PACKED])
def test_a_trial_finds_everything_imported(kernel, tmp_path):
    ours = spec(kernel=kernel)
    with Pool(1, None, runner="misbehaving:make_watched") as pool:
        pool.submit(ours, tmp_path / "trained.pt")
        (done,) = ended_of(pool).values()
    assert done.outcome == "done", done.detail or done.reason


def test_native_trials_run_behind_walls(stranger):
    ours = spec(kernel="native")
    theirs = spec(expression(stranger), kernel="native")
    with Pool(2, None) as pool:
        pool.admit(stranger)
        assert ready.load() == []
        for wanted in (ours, theirs):
            pool.submit(wanted)
        ended = ended_of(pool)
    outcomes = {key: (one.outcome, one.reason, one.detail) for key, one in ended.items()}
    assert outcomes == {one.key: ("done", None, None) for one in (ours, theirs)}
    assert numbers(ended[ours.key].result) == numbers(run_trial(ours, None))
