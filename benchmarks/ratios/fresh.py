"""A function in a process of its own: `fresh("module:function", {…})` gives what it returned.

    echo '{"argument": 1}' | python -m benchmarks.ratios.fresh module:function

The process has imported nothing but this file when the function is called.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def fresh(
    function: str, arguments: Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What the function returned, and under 'process_seconds' what it and its children took.

    Raises `RuntimeError` with the last it said if it failed.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ratios.fresh", function],
        input=json.dumps(arguments),
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed in its process:\n{done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def process_seconds() -> float:
    """Processor seconds of this process and of its children that have ended."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def main() -> None:
    name, arguments = sys.argv[1], json.load(sys.stdin)
    module, _, function = name.partition(":")
    print(json.dumps(getattr(importlib.import_module(module), function)(**arguments)))


if __name__ == "__main__":
    main()
