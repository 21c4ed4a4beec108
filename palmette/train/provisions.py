"""What trials behind walls find there ready: native kernels and sequences, which they only read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NamedTuple

from palmette.train.process import processors
from palmette.train.shelf import default_folder

DECIDING = ("CXX", "PALMETTE_CXXFLAGS", "PALMETTE_INSTRUCTIONS")
"""Environment variables that decide which libraries native kernels are."""


class Provisions(NamedTuple):
    """Folders to read and variables to set."""

    readable: tuple[Path, ...]
    variables: tuple[tuple[str, str], ...]


def provisions() -> Provisions:
    """Builds the native kernels that are not there, for behind walls nothing can be written.

    The first time on a machine this takes some seconds. Imports torch.
    """
    from palmette.ops.kernels.native import ready
    from palmette.ops.kernels.native.compiler import NativeError, compiler
    from palmette.ops.kernels.native.library import folder

    variables = {name: os.environ[name] for name in DECIDING if name in os.environ}
    try:
        command = compiler().command[0]
    except NativeError:
        pass  # trials of native kernels will say so
    else:
        ready.build(ready.load(), at_once=len(processors()))
        if found := shutil.which(command):  # it is asked for its version
            variables["PATH"] = os.pathsep.join((str(Path(found).parent), "/usr/bin", "/bin"))
    places = {"PALMETTE_KERNELS": folder(), "PALMETTE_DRAWN": default_folder()}
    variables |= {name: str(place.absolute()) for name, place in places.items()}
    readable = tuple(place for place in places.values() if place.is_dir())
    return Provisions(readable, tuple(variables.items()))
