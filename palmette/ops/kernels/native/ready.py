"""Every native library ahead of its first use: built, and loaded, before a trial asks for it."""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from palmette.ops.kernels.native.compiler import NativeError
from palmette.ops.kernels.native.library import SOURCES, Build, built, folder, library, whole


def every() -> list[Build]:
    """One library for each source in this folder, or those that its Python half names `LIBRARIES`:
    pairs of a source and its macros.
    """
    return [
        Build(source, macros)
        for path in sorted(SOURCES.glob("*.cpp"))
        for source, macros in _named(path.stem)
    ]


def _named(source: str) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    alone = ((source, ()),)
    if not (SOURCES / f"{source}.py").exists():
        return alone
    half = importlib.import_module(f"{__package__}.{source}")
    return getattr(half, "LIBRARIES", alone)


def load() -> list[Build]:
    """Loads the libraries that are there and returns the others.

    Loading runs no operator and starts no thread, so that a process may be forked afterwards.
    Returns nothing where there is no compiler: then no library can be there or come.
    """
    absent = []
    with suppress(NativeError):
        for build in every():
            if whole(folder() / build.file()):
                library(build.source, *build.macros)
            else:
                absent.append(build)
    return absent


def build(builds: list[Build], at_once: int = 1) -> None:
    """Builds libraries, `at_once` at a time; one that cannot be built is left for whoever needs it,
    who is then told why.
    """

    def try_one(wanted: Build) -> None:
        with suppress(NativeError):
            built(wanted)

    if at_once == 1:
        for wanted in builds:
            try_one(wanted)
        return
    with ThreadPoolExecutor(at_once) as threads:
        list(threads.map(try_one, builds))
