"""All native kernels under the sanitizers of addresses and of undefined behaviour."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from palmette.ops.kernels.native.compiler import compiler
from palmette.ops.kernels.native.library import unavailable

FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -g1 -O1"


def runtimes():
    """The sanitizers' libraries, if this compiler has them."""
    if unavailable():
        return []
    paths = []
    for name in ("libasan.so", "libubsan.so"):
        command = [*compiler().command, f"-print-file-name={name}"]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        if Path(found).is_absolute():
            paths.append(found)
    return paths if len(paths) == 2 else []


pytestmark = pytest.mark.skipif(not runtimes(), reason="no compiler with sanitizers here")


def run(tmp_path, *arguments):
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(runtimes()),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PALMETTE_CXXFLAGS": FLAGS,
        "PALMETTE_KERNELS": str(tmp_path),
    }
    script = Path(__file__).with_name("sanitized.py")
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_no_kernel_leaves_its_memory(tmp_path):
    ran = run(tmp_path)
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert ran.stdout == "done\n"


def test_one_that_does_is_caught(tmp_path):
    ran = run(tmp_path, "overrun")
    assert ran.returncode != 0
    assert "AddressSanitizer: stack-buffer-overflow" in ran.stderr or "index 2 out of" in ran.stderr
