"""What the operating system is asked about the processes of trials.

Linux does all of it. Elsewhere a trial is not pinned, and a killed server's trials are ended by the
pool instead of by the kernel.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress

import psutil

PR_SET_PDEATHSIG = 1  # prctl(2)
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def die_with(parent: int, by: signal.Signals = signal.SIGKILL) -> None:
    """Has the kernel send this process a signal when its parent, process `parent`, ends.

    The signal comes when the *thread* that made this process ends; so that thread has to outlive
    it. If the parent ended before the request was made, this process exits at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(1)


def kill_group(group: int) -> None:
    """Kills every process of a group; a group that has ended is left alone."""
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses where only zombies are left
        os.killpg(group, signal.SIGKILL)


def processors() -> list[int]:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin(slot: int, workers: int) -> None:
    """Keeps this process on one processor, if there are exactly as many workers as processors.

    With fewer workers than processors pinning could put the workers of two programs on one
    processor while another idles.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = processors()
        if workers == len(allowed):
            os.sched_setaffinity(0, {allowed[slot]})


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and all its descendants; 0 once it has ended.

    Pages that descendants share are counted for each.
    """
    return sum(_resident(member) for member in (pid, *descendants(pid)))


def _resident(pid: int) -> int:
    if sys.platform == "linux":  # a fraction of what psutil takes
        with suppress(OSError, IndexError):
            return int(_read(f"/proc/{pid}/statm").split()[1]) * PAGE_BYTES
        return 0
    with suppress(psutil.Error):
        return int(psutil.Process(pid).memory_info().rss)
    return 0


def descendants(pid: int) -> Iterator[int]:
    """All processes below one."""
    if sys.platform != "linux":
        with suppress(psutil.Error):
            yield from (child.pid for child in psutil.Process(pid).children(recursive=True))
        return
    # psutil would read every process of the machine, which takes milliseconds.
    threads: list[str] = []
    with suppress(OSError):
        threads = [entry.name for entry in os.scandir(f"/proc/{pid}/task")]
    for thread in threads:
        children: list[bytes] = []
        with suppress(OSError):
            children = _read(f"/proc/{pid}/task/{thread}/children").split()
        for child in map(int, children):
            yield child
            yield from descendants(child)


def _read(path: str) -> bytes:
    """A short file of /proc; whether a trial is within its limits is asked four times a second."""
    number = os.open(path, os.O_RDONLY)
    try:
        return os.read(number, 1 << 16)
    finally:
        os.close(number)
