import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from palmette.train import sandbox
from palmette.train.sandbox import Box, Limits, best_kind, run

HERE = Path(__file__).parent
SMALL = Limits(
    wall_seconds=20.0, cpu_seconds=1, memory_bytes=256 * 2**20, processes=8, file_bytes=2**20
)
SHORT = replace(SMALL, wall_seconds=0.7)
WALLS = best_kind()
NAMESPACES = run("json:dumps", 1, kind="namespaces").verdict is None
walled = pytest.mark.skipif(WALLS != "bubblewrap", reason="bubblewrap is not here")


def wild(function, argument=None, kind=WALLS, limits=SMALL):
    return run(f"wild:{function}", argument, limits, [HERE], kind)


def assert_nothing_is_left():
    """No child of this process and no temporary folder; the killed need a moment to be gone."""
    deadline = time.monotonic() + 2
    while children := psutil.Process().children(recursive=True):
        assert time.monotonic() < deadline, children
        time.sleep(0.01)
    assert not list(Path("/tmp").glob("palmette-*/mine.txt"))


@pytest.fixture(params=dict.fromkeys([WALLS, "limits"]))
def kind(request):
    """The walls of this machine, and what there is without any."""
    yield request.param
    assert_nothing_is_left()


def test_an_answer_comes_through_whatever_is_printed(kind):
    answer = wild("say", {"a": [1, 2.5, None]}, kind)
    assert answer.verdict is None
    assert answer.value["said"] == {"a": [1, 2.5, None]}
    assert answer.value["here"] == []


def test_it_sees_nothing_of_the_users_environment(kind, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "hidden")
    answer = wild("say", None, kind)
    assert "SECRET_KEY" not in answer.value["environment"]


@pytest.mark.parametrize(
    ("function", "verdict"),
    [
        ("fail", "its process ended with status 1 before it had answered; the last it wrote was: "
         "ValueError: no such thing: None"),
        ("sleep", "it had not finished after 0.7 s"),
        ("wall", "it had not finished after 0.7 s"),
        ("spin", "it used more than 1 s of processor time"),
        ("leave", "its process ended with status 0 before it had answered"),
        ("leave_politely", "its process ended with status 1 before it had answered; the last it "
         "wrote was: goodbye"),
        ("crash", "its process was killed by SIGSEGV"),
        ("core", "its process was killed by SIGSEGV"),
        ("eat", "it used more than 0.25 GiB of memory"),
        ("grab", "its process ended with status 1 before it had answered; the last it wrote was: "
         "MemoryError"),
        ("forge", "something other than the answer was written into its pipe, so nothing that it "
         "said is believed"),
        ("close_all", "its process ended with status 120 before it had answered"),
        ("unreadable", "its process ended with status 1 before it had answered; the last it wrote "
         "was: TypeError: Object of type module is not JSON serializable"),
    ],
)  # fmt: skip
def test_misbehaviour_has_a_verdict(function, verdict, kind):
    answer = wild(function, None, kind, SHORT if "not finished" in verdict else SMALL)
    assert answer.verdict == verdict
    assert answer.value is None
    assert answer.seconds < SMALL.wall_seconds


def test_a_fork_that_goes_on_answers_once(kind):
    assert wild("fork_and_go_on", None, kind).value == "one of two"


def test_too_many_processes_are_ended_together(kind):
    assert wild("bomb", None, kind).verdict in (
        "it started more than 8 processes",
        "its process ended with status 1 before it had answered; the last it wrote was: "
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
    )


def test_a_detached_process_does_not_outlive_the_call(kind):
    mark = f"mark {os.getpid()} {kind}"
    assert wild("orphan", mark, kind).value == "left behind"
    deadline = time.monotonic() + 2
    while any(mark in " ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_files_and_descriptors_are_bounded(kind):
    assert wild("write_much", 2**21, kind).value == "File too large"
    assert wild("open_many", None, kind).value == "Too many open files"


def test_a_long_answer_arrives_and_an_endless_one_does_not(kind):
    assert len(wild("large", 2**20, kind).value) == 2**20
    assert wild("large", 2**25, kind).verdict.startswith("something other than the answer")


@walled
def test_only_the_temporary_folder_can_be_written(tmp_path):
    folders = [str(tmp_path), str(Path.home()), str(HERE), "/", "/usr", "/tmp", "/dev"]
    outcome = wild("write_everywhere", {"folders": folders}).value
    assert outcome.pop(".") == "written"
    assert set(outcome.values()) <= {"Read-only file system", "No such file or directory"}
    assert not list(HERE.glob("mine.txt")) + list(tmp_path.iterdir())


@walled
def test_nothing_of_the_disk_but_python_can_be_read(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("secret")
    assert wild("read", str(secret)).value == "No such file or directory"
    assert wild("read", "/etc/passwd").value == "No such file or directory"
    assert "def test_nothing" in wild("read", __file__).value  # this folder was given


@pytest.mark.parametrize("kind", ["bubblewrap", "namespaces"])
def test_there_is_no_network_and_no_sight_of_others(kind):
    if kind == "bubblewrap" != WALLS or (kind == "namespaces" and not NAMESPACES):
        pytest.skip(f"{kind} cannot be had here")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        refused = ("Network is unreachable", "Connection refused")
        assert wild("connect", port, kind).value in refused
        assert wild("connect", port, "limits").value == "connected"  # the sentence says so
    assert wild("orphan", "left", kind).value == "left behind"
    assert_nothing_is_left()


@walled
def test_its_processes_are_its_own():
    assert wild("processes").value == [1, 2]
    assert wild("kill_parent").value == "sent"  # and it lived to say so: its parent is the wall


@pytest.mark.parametrize("kind", ["bubblewrap", "namespaces", "limits"])
def test_the_protection_is_told(kind):
    told = Box(kind=kind).protection
    assert "network" in told
    assert ("can read your files" in told) == (kind != "bubblewrap")


def test_without_bubblewrap_the_sentence_names_it(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    assert Box(kind="limits").protection == (
        "resource limits only: bubblewrap is not installed, so the file can read your files, use "
        "the network and end your programs"
    )
