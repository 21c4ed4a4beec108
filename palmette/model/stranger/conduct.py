"""A layer computes and does nothing else: what a stranger's file does besides is told, by line.

The walls of the locked-down process keep all this from having an effect; this says plainly what was
tried. It sees what the file's own code does through Python, not what a library does for itself.
Functions of others that were replaced are found by looking at all of them again.
"""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from types import FrameType, ModuleType
from typing import Any

from palmette.model.stranger.source import Source

DEEDS = {
    "os.fork": "starts a process",
    "os.forkpty": "starts a process",
    "os.exec": "starts another program",
    "os.posix_spawn": "starts another program",
    "os.spawn": "starts another program",
    "os.system": "starts another program",
    "subprocess.Popen": "starts another program",
    "pty.spawn": "starts another program",
    "os.kill": "sends signals to processes",
    "os.killpg": "sends signals to processes",
    "socket.__new__": "opens a socket",
    "socket.connect": "opens a connection",
    "socket.bind": "opens a socket",
    "socket.getaddrinfo": "asks the network for an address",
    "os.remove": "deletes a file",
    "os.rename": "renames a file",
    "os.rmdir": "deletes a folder",
    "os.mkdir": "makes a folder",
    "shutil.rmtree": "deletes a folder",
}
# Whose functions may not be replaced; elsewhere torch itself does so as it loads what is needed.
WATCHED = re.compile(
    r"(palmette|torch\.(nn|autograd|optim|linalg|fft))(\..+)?|torch(\._tensor)?|"
    r"builtins|math|random|json|numpy"
)
WRAPPED = frozenset({"torch.manual_seed"})  # by the compiler, as soon as something imports it
WRITES = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
STANDARD = tuple(sysconfig.get_path(name) for name in ("stdlib", "platstdlib"))
PACKAGES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))


def watch(source: Source) -> list[str]:
    """From now on, what the file's code does besides computing is refused and put into the list.

    It cannot be switched off again: for a locked-down process alone.
    """
    found: dict[str, None] = {}
    told: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        deed = DEEDS.get(event) or (event == "open" and _writing(arguments))
        if not deed:
            return
        line = _line_of(source.file, sys._getframe(1))
        if line is None:
            return
        fault = f"{source.place(line)}{source.quoted(line)} {deed}; a layer may only compute"
        if fault not in found:
            found[fault] = None
            told.append(fault)
        raise PermissionError(deed)

    sys.addaudithook(hook)
    return told


def functions() -> dict[str, object]:
    """The functions and methods of palmette, and those of torch and of Python that layers and
    gates are made of, by their full names.
    """
    return {
        f"{module.__name__}.{name}": function
        for key, module in list(sys.modules.items())
        if isinstance(module, ModuleType) and WATCHED.fullmatch(key)
        for name, function in _callables(module)
    }


def replaced(before: dict[str, object]) -> list[str]:
    """A fault for what is no longer the function that it was."""
    now = functions()
    names = [name for name, function in before.items() if now.get(name) is not function]
    names = [name for name in names if name not in WRAPPED]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    told = f"{', '.join(names[:3])}{more}"
    return [f"it replaces {told}; a layer may only compute"] if names else []


def _callables(module: ModuleType) -> Iterator[tuple[str, object]]:
    for name, thing in list(vars(module).items()):
        if isinstance(thing, type) and thing.__module__ == module.__name__:
            for inner, method in list(vars(thing).items()):
                if callable(method) or isinstance(method, property | classmethod | staticmethod):
                    yield f"{name}.{inner}", method
        if callable(thing):
            yield name, thing


def _writing(arguments: tuple[Any, ...]) -> str | None:
    path, mode, flags = arguments
    writes = isinstance(mode, str) and any(letter in mode for letter in "wax+")
    writes = writes or (isinstance(flags, int) and bool(flags & WRITES))
    return "writes to a file" if writes and path != os.devnull else None


def _line_of(file: str, frame: FrameType | None) -> int | None:
    """The line of the file that is running, if nothing but the standard library lies between."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name == file:
            return frame.f_lineno
        standard = name.startswith((*STANDARD, "<frozen")) and not name.startswith(PACKAGES)
        if not standard:
            return None
        frame = frame.f_back
    return None
