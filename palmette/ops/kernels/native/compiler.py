"""The system's C++ compiler, and the instructions that kernels are built for."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

import torch

from palmette.errors import PalmetteError

NAMES = ("g++", "clang++", "c++")
FLAGS = (
    "-std=c++17",
    "-O3",
    "-fPIC",
    "-shared",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
    "-fno-exceptions",
    "-fno-rtti",
    "-Wno-psabi",
)
INSTRUCTIONS = {
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma"),
    "avx2": ("-mavx2", "-mfma"),
    "portable": (),
}
"""Compiler flags by name; the vector's width follows from them (`vector.h`)."""


class NativeError(PalmetteError):
    """There is no compiler, or it refused a kernel, or what it made cannot be loaded."""


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler: the command, and what it says of its version."""

    command: tuple[str, ...]
    version: str


@cache
def compiler() -> Compiler:
    """The compiler that CXX names, or else the first that is installed.

    Raises `NativeError` if there is none, or if it does not run.
    """
    chosen = os.environ.get("CXX")
    command = tuple(shlex.split(chosen)) if chosen else _installed()
    try:
        said = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NativeError(f"the C++ compiler {shlex.join(command)} does not run: {error}") from None
    return Compiler(command, said.stdout.partition("\n")[0])


def _installed() -> tuple[str, ...]:
    for name in NAMES:
        if found := shutil.which(name):
            return (found,)
    raise NativeError(
        f"there is no C++ compiler ({', '.join(NAMES)}); install one "
        "(Debian and Ubuntu: apt install g++) or name it in the environment variable CXX"
    )


@cache
def instructions() -> str:
    """The widest set of instructions here that kernels are written for: a key of `INSTRUCTIONS`.

    PALMETTE_INSTRUCTIONS names a narrower one. Raises `NativeError` if it names an unknown one.
    """
    here = {"AVX512": "avx512", "AVX2": "avx2"}.get(
        torch.backends.cpu.get_cpu_capability().upper(), "portable"
    )
    chosen = os.environ.get("PALMETTE_INSTRUCTIONS", here)
    allowed = list(INSTRUCTIONS)[list(INSTRUCTIONS).index(here) :]
    if chosen not in allowed:
        raise NativeError(
            f"PALMETTE_INSTRUCTIONS is {chosen!r}; this processor has {', '.join(allowed)}"
        )
    return chosen
