"""What runs first inside a locked-down process: the limits that the kernel keeps, then the work.

    python -m palmette.train.inside '{"run": "palmette.train.server:main", "limits": {…}, …}'

Where bubblewrap has made the walls, this only sets limits. Where it has not, it takes away what the
kernel lets an ordinary process take away from itself: the network, the sight of other processes.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import resource
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1  # prctl(2)
PR_SET_NO_NEW_PRIVS = 38
CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x8000000, 0x10000000, 0x20000000, 1 << 30
ANSWER_BYTES = 16 * 2**20


def main() -> None:
    """Reads its orders from the first argument; never returns to a caller in another process."""
    orders = json.loads(sys.argv[1])
    sys.argv = [sys.argv[0]]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if orders["parent"]:  # bubblewrap sees to it otherwise
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != orders["parent"]:
                os._exit(1)
        if orders["namespaces"]:
            unshare()
    limit(orders["limits"])
    module, _, function = orders["run"].partition(":")
    getattr(importlib.import_module(module), function)()


def unshare() -> None:
    """Namespaces of its own for network, processes and shared memory; this process goes on as the
    first of the new ones, while the old one waits for its end and passes on how it came.
    """
    everything = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(everything):
        raise OSError(ctypes.get_errno(), "cannot unshare namespaces")
    pid = os.fork()
    if pid:
        _, status = os.waitpid(pid, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def limit(limits: dict[str, Any]) -> None:
    """Sets the limits of `Limits`; a limit that is lower already stays."""
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": limits["cpu_seconds"],
        "RLIMIT_FSIZE": limits["file_bytes"],
        "RLIMIT_NOFILE": limits["open_files"],
        "RLIMIT_DATA": 2 * limits["memory_bytes"],  # a backstop: whoever started this samples
    }
    if limits["processes"]:
        wanted["RLIMIT_NPROC"] = own_tasks() + limits["processes"]
    for name, value in wanted.items():
        if value is None or not hasattr(resource, name):
            continue
        number = getattr(resource, name)
        # The kernel warns with SIGXCPU at the soft limit, and kills at the hard one.
        soft, hard = value, value + 1 if name == "RLIMIT_CPU" else value
        given = resource.getrlimit(number)[1]
        if given != resource.RLIM_INFINITY:
            soft, hard = min(soft, given), min(hard, given)
        with suppress(ValueError, OSError):  # some systems know a limit and cannot set it
            resource.setrlimit(number, (soft, hard))


def own_tasks() -> int:
    """The threads of all processes of this user, which is what RLIMIT_NPROC counts."""
    total = 0
    for task in Path("/proc").glob("[0-9]*/task"):
        with suppress(OSError):
            if task.stat().st_uid == os.getuid():
                total += sum(1 for _ in task.iterdir())
    return total


def answer() -> None:
    """Calls the function that standard input asks for and writes what it returns as the answer.

    The answer is framed by a secret that only the asker knows, so whatever else is written into
    the pipe is seen to be no answer.
    """
    request = json.loads(sys.stdin.buffer.read())
    own = os.getpid()
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    module, _, function = request["function"].partition(":")
    value = getattr(importlib.import_module(module), function)(request["argument"])
    if os.getpid() != own:  # a fork that the file made and let run on
        os._exit(1)
    text = json.dumps(value).encode()
    frame = memoryview(f"{request['secret']} {len(text)}\n".encode() + text)
    while frame:
        frame = frame[os.write(request["pipe"], frame) :]
    os._exit(0)


if __name__ == "__main__":
    main()
