"""What a trial's record says of the machine that it ran on."""

from __future__ import annotations

import platform
import resource
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def machine(kernel: str = "torch") -> str:
    """One short line: processor, operating system, torch; what native kernels were built with.

    Raises `NativeError` where there are none and `kernel` asks for them.
    """
    line = f"{_processor()}, {platform.system()}, torch {version('torch')}"
    if kernel == "native":
        # Imports torch, which those who only schedule trials never do.
        from palmette.ops.kernels.native.library import described

        line += f", kernels: {described()}"
    return line


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_bytes() -> int:
    """The most memory that was ever resident in this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
