"""What a file that a model wrote may say, told from its text before anything runs.

A person's file may import what it likes. A model's is written to pass checks, so it is held to what
a layer needs: torch, a few modules of Python's own, and no way to other files, to the interpreter
or into the code of others. These rules make honest mistakes plain and tricks laborious; the walls
of the locked-down process hold whatever the text says.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from palmette.model.stranger.names import listed
from palmette.model.stranger.source import Source

LARGEST_BYTES = 64_000
IMPORTS = (
    "torch",
    "math",
    "typing",
    "dataclasses",
    "functools",
    "itertools",
    "collections",
    "__future__",
)
NAMES = frozenset(
    {"__import__", "__builtins__", "__loader__", "__spec__", "breakpoint", "compile", "delattr"}
    | {"eval", "exec", "exit", "getattr", "globals", "input", "locals", "memoryview", "open"}
    | {"quit", "setattr", "vars"}
)
SPECIAL = frozenset({"__init__", "__class__", "__name__", "__len__", "__call__"})
MODULES = frozenset(  # of Python, which others' modules hold, under whatever name
    {"builtins", "ctypes", "gc", "importlib", "inspect", "os", "pathlib", "pickle", "shutil"}
    | {"socket", "subprocess", "sys", "tempfile", "threading"}
)
REACHING = MODULES | {
    *("cpp_extension", "distributed", "from_file", "hub", "io", "load", "load_library"),
    *("multiprocessing", "open", "ops", "package", "save", "serialization", "storage"),
}  # of torch
COMPUTE = "a layer may only compute"


def unrestrained(source: Source) -> list[str]:
    """A fault for each thing that a model's file may not say.

    Raises `StrangerError` if it is not Python.
    """
    tree = source.tree()
    foreign = set(_imported(tree))
    found = [(part, told) for part in ast.walk(tree) if (told := _fault(part, foreign))]
    faults = [
        f"{source.place(line)}{source.quoted(line)} {told}"
        for line, told in sorted((getattr(part, "lineno", 0), told) for part, told in found)
    ]
    return list(dict.fromkeys(faults))


def _fault(part: ast.AST, foreign: set[str]) -> str | None:
    if isinstance(part, ast.Import | ast.ImportFrom):
        wrong = sorted({name for name in _modules(part) if name not in IMPORTS})
        if wrong:
            return f"imports {listed(wrong)}; it may import {listed(list(IMPORTS[:-1]))} alone"
        paths = [alias.name for alias in part.names]
        if isinstance(part, ast.ImportFrom):
            paths = [f"{part.module}.{name}" for name in paths if part.module != "__future__"]
        away = sorted({path for path in paths if _reaches(path)})
        return f"imports {listed(away)}; {COMPUTE}" if away else None
    if isinstance(part, ast.Name) and part.id in NAMES:
        return f"uses {part.id}; {COMPUTE}"
    if not isinstance(part, ast.Attribute):
        return None
    name = _name(part)
    root = name.partition(".")[0]
    if isinstance(part.ctx, ast.Store | ast.Del) and root in foreign:
        return f"replaces {name}; a layer changes nothing but itself"
    if part.attr.startswith("__") and part.attr not in SPECIAL:
        return f"uses {part.attr}; {COMPUTE}"
    reaches = part.attr in REACHING or part.attr.startswith("_")
    own = isinstance(part.value, ast.Name) and part.value.id == "self"
    if (part.attr in MODULES and not own) or (root in foreign and reaches):
        return f"reaches for {name}; {COMPUTE}"
    return None


def _modules(part: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The packages that a statement imports; a relative import is named by its dot."""
    if isinstance(part, ast.ImportFrom):
        yield "." if part.level else (part.module or "").partition(".")[0]
    else:
        yield from (alias.name.partition(".")[0] for alias in part.names)


def _imported(tree: ast.Module) -> Iterator[str]:
    """The names that imports bind."""
    for part in ast.walk(tree):
        if isinstance(part, ast.Import | ast.ImportFrom):
            for alias in part.names:
                yield alias.asname or alias.name.partition(".")[0]


def _reaches(name: str) -> bool:
    return any(word in REACHING or word.startswith(("_", "*")) for word in name.split("."))


def _name(part: ast.expr) -> str:
    """A chain of attributes as it is written; what it begins with is left out if it is no name."""
    words: list[str] = []
    while isinstance(part, ast.Attribute):
        words.append(part.attr)
        part = part.value
    words.append(part.id if isinstance(part, ast.Name) else "")
    return ".".join(reversed(words))
