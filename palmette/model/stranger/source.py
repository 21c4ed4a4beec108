"""A stranger's file as text: what can be told of it without running it, and running it.

Which class is meant: the one that `FILE.py:CLASS` names; else the only `nn.Module` that the file
defines and that none of its other modules uses (those are its parts).
"""

from __future__ import annotations

import ast
import importlib.util
import linecache
import sys
import traceback
import types
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from torch import nn

from palmette.model.stranger.names import listed

MODULE = "palmette_stranger"  # what the file's module is called while it runs
PACKAGES = {  # what to install, where it is called otherwise
    "cv2": "opencv-python",
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "skimage": "scikit-image",
    "fla": "flash-linear-attention",
    "flash_attn": "flash-attn",
    "mamba_ssm": "mamba-ssm",
    "causal_conv1d": "causal-conv1d",
    "x_transformers": "x-transformers",
    "rotary_embedding_torch": "rotary-embedding-torch",
}


class StrangerError(Exception):
    """What is wrong with a stranger's file, told by its own lines; `faults` holds all of it."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("; ".join(faults))


@dataclass(frozen=True)
class Source:
    """A file: its name, its text, and the names of the modules that lie beside it."""

    file: str
    text: str
    beside: frozenset[str] = frozenset()

    def tree(self) -> ast.Module:
        """Its syntax tree. Raises `StrangerError` if it is not Python."""
        try:
            return ast.parse(self.text, self.file)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            line = getattr(error, "lineno", None)
            message = getattr(error, "msg", None) or str(error)
            raise StrangerError(
                f"{self.place(line)} is not Python{self.quoted(line)}: {message}"
            ) from None

    def place(self, line: int | None) -> str:
        """`layer.py line 3`, or the file alone."""
        return f"{self.file} line {line}" if line else self.file

    def quoted(self, line: int | None) -> str:
        """The text of a line, to be put behind its place."""
        lines = self.text.splitlines()
        if line is None or not 0 < line <= len(lines):
            return ""
        return f" ({lines[line - 1].strip()[:100]})"

    def told(self, error: BaseException) -> str:
        """An error of the file's code, with the last line of the file that led to it."""
        stack = traceback.extract_tb(error.__traceback__)
        line = next((step.lineno for step in reversed(stack) if step.filename == self.file), None)
        text = " ".join(str(error).split())[:300]
        return f"{self.place(line)}{self.quoted(line)}: {type(error).__name__}: {text}"


def missing_imports(source: Source) -> list[str]:
    """A fault for all that the file needs and that is not there; what it tries and can do without
    does not count.
    """
    needed: dict[str, int] = {}
    for statement in _unconditional(source.tree()):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                needed.setdefault(alias.name.partition(".")[0], statement.lineno)
        elif isinstance(statement, ast.ImportFrom):
            name = (statement.module or statement.names[0].name).partition(".")[0]
            needed.setdefault("." + name if statement.level else name, statement.lineno)
    faults, absent = [], []
    for name, line in needed.items():
        if name.startswith(".") or (name in source.beside and not _there(name)):
            faults.append(
                f"{source.place(line)} imports {name.strip('.')!r} from beside it; the file is run "
                "alone, so put what it needs into it"
            )
        elif not _there(name):
            absent.append(name)
    if absent:
        packages = " ".join(PACKAGES.get(name, name.replace("_", "-")) for name in absent)
        faults.append(
            f"{source.file} needs {listed(absent)}, which {'is' if len(absent) == 1 else 'are'} "
            f"not installed: pip install {packages}"
        )
    return faults


def _unconditional(tree: ast.Module) -> list[ast.stmt]:
    """The statements that run whenever the file is imported."""
    found: list[ast.stmt] = []
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        statement = pending.pop(0)
        found.append(statement)
        if isinstance(statement, ast.ClassDef | ast.With):
            pending += statement.body
    return found


def _there(name: str) -> bool:
    try:
        return name in sys.modules or importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def execute(source: Source) -> types.ModuleType:
    """Runs the file as a module. Only in a locked-down process.

    Raises `StrangerError` for whatever it raises, an exit included.
    """
    tree = source.tree()
    module = types.ModuleType(MODULE)
    module.__file__ = source.file
    sys.modules[MODULE] = module  # dataclasses look their module up
    lines = source.text.splitlines(keepends=True)
    linecache.cache[source.file] = (len(source.text), None, lines, source.file)
    try:
        exec(compile(tree, source.file, "exec", dont_inherit=True), module.__dict__)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise StrangerError(source.told(error)) from None
    return module


def class_lines(source: Source) -> dict[str, int]:
    """The classes that the file defines at its top, with their lines."""
    return {part.name: part.lineno for part in source.tree().body if isinstance(part, ast.ClassDef)}


def choose(source: Source, module: types.ModuleType, wanted: str | None) -> type[nn.Module]:
    """The class that is meant; see the module's docstring. Raises `StrangerError`."""
    lines = class_lines(source)
    modules = {
        name: thing
        for name in lines
        if isinstance(thing := getattr(module, name, None), type) and issubclass(thing, nn.Module)
    }
    shown = _shown(modules, lines)
    if wanted is not None:
        found = getattr(module, wanted, None)
        if isinstance(found, type) and issubclass(found, nn.Module):
            return found
        what = "is not a torch.nn.Module" if found is not None else "is not in it"
        raise StrangerError(f"{source.file}: {wanted} {what}; its modules: {shown or 'none'}")
    if not modules:
        others = f"; it has {_shown(lines, lines)}" if lines else ""
        raise StrangerError(f"{source.file} defines no torch.nn.Module class{others}")
    whole = [name for name in modules if not name.startswith("_")] or list(modules)
    free = [name for name in whole if name not in _used_by_others(source, modules)]
    if len(free) != 1:
        raise StrangerError(
            f"{source.file} defines {len(modules)} modules: {shown}; say which, as in "
            f"{source.file}:{(free or whole)[-1]}"
        )
    return modules[free[0]]


def _used_by_others(source: Source, modules: Collection[str]) -> set[str]:
    """The modules whose names stand in another module's class, or in a function that it calls."""
    used: set[str] = set()
    names: dict[str, set[str]] = {}
    for part in source.tree().body:
        if isinstance(part, ast.ClassDef | ast.FunctionDef):
            found = {word.id for word in ast.walk(part) if isinstance(word, ast.Name)}
            names[part.name] = found - {part.name}
    pending = [word for name in modules for word in names[name]]
    while pending:
        word = pending.pop()
        if word in names and word not in used:
            used.add(word)
            if word not in modules:
                pending += names[word]
    return used


def _shown(names: Collection[str], lines: dict[str, int]) -> str:
    words: Sequence[str] = [f"{name} (line {lines[name]})" for name in names]
    return listed(words) if words else ""
