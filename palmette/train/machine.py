"""What a trial's record says of the machine and the code that it ran on. Imports no torch."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


@cache
def machine() -> str:
    """One short line: processor, operating system, torch."""
    return f"{_processor()}, {platform.system()}, torch {version('torch')}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit(checkout: Path = CHECKOUT) -> str | None:
    """The commit that palmette runs from, `-dirty` if files differ from it.

    None if it does not run from a checkout of its own. Asks git, so call it once and hand the
    answer on.
    """
    if not (checkout / ".git").exists():
        return None
    asked = ["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty"]
    try:
        answer = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(checkout), *asked],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def peak_bytes() -> int:
    """The most memory that was ever resident in this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes
