"""Functions that misbehave in the locked-down process, one a test of `test_sandbox.py`."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path


def say(argument):
    print("to standard output" * 1000)
    print("to standard error" * 1000, file=sys.stderr)
    return {
        "said": argument,
        "here": [str(path) for path in Path().iterdir()],
        "environment": sorted(os.environ),
    }


def fail(argument):
    raise ValueError(f"no such thing: {argument}")


def spin(argument):
    while True:
        pass


def sleep(argument):
    time.sleep(60)


def leave(argument):
    os._exit(0)


def leave_politely(argument):
    sys.exit("goodbye")


def crash(argument):
    os.kill(os.getpid(), signal.SIGSEGV)


def eat(argument):
    held = [bytearray(64 * 2**20) for _ in range(24)]
    time.sleep(60)
    return len(held)


def grab(argument):
    return len(bytearray(2**40))


def forge(argument):
    for number in range(3, 64):
        try:
            os.write(number, b'0 15\n{"passed": true}')
        except OSError:
            continue
    time.sleep(60)


def close_all(argument):
    os.closerange(0, 256)
    return "closed"


def fork_and_go_on(argument):
    os.fork()
    return "one of two"


def kill_parent(argument):
    try:
        os.kill(os.getppid(), signal.SIGKILL)
    except OSError as error:
        return f"refused: {error.strerror}"
    time.sleep(0.1)
    return "sent"


def orphan(argument):
    """A grandchild with a session of its own, which would outlive everything."""
    subprocess.Popen(
        [sys.executable, "-c", f"import time; {argument!r}; time.sleep(30)"],
        start_new_session=True,
    )
    return "left behind"


def bomb(argument):
    while True:
        if os.fork() == 0:
            time.sleep(30)


def write_everywhere(argument):
    """What happened to a small file in each of some folders."""
    outcome = {}
    for folder in (*argument["folders"], "."):
        try:
            Path(folder, "mine.txt").write_text("mine")
            outcome[folder] = "written"
        except OSError as error:
            outcome[folder] = error.strerror
    return outcome


def write_much(argument):
    try:
        with Path("large").open("wb") as file:
            file.write(bytes(argument))
    except OSError as error:
        return error.strerror
    return "written"


def open_many(argument):
    held = []
    try:
        while True:
            held.append(Path(os.devnull).open())  # noqa: SIM115
    except OSError as error:
        return error.strerror


def read(argument):
    try:
        return Path(argument).read_text()
    except OSError as error:
        return error.strerror


def connect(argument):
    try:
        socket.create_connection(("127.0.0.1", argument), timeout=2).close()
    except OSError as error:
        return error.strerror or str(error)
    return "connected"


def processes(argument):
    return sorted(int(path.name) for path in Path("/proc").glob("[0-9]*"))


def core(argument):
    ctypes.string_at(0)


def large(argument):
    return "x" * argument


def unreadable(argument):
    return json  # no JSON


def wall(argument):
    """Ignores every signal that can be ignored."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(60)
