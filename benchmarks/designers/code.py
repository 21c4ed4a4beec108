"""Free-form code: a file of PyTorch, executed in the locked-down process alone."""

from __future__ import annotations

import ast
import re
import tempfile
from pathlib import Path

from benchmarks.designers.form import TASK, Form, free
from palmette.designer.session import UnreadableError
from palmette.errors import UserError
from palmette.search.strangers import introduce

FOLDER = Path(__file__).parent / "parents"
FENCE = re.compile(r"```[a-zA-Z]*\n(.*?)(?:```|\Z)", re.DOTALL)
DOCUMENTED = (ast.ClassDef, ast.FunctionDef, ast.Module)
KEPT = ("forward", "__init__")
IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n\n"


def source(parent: str) -> str:
    """A parent as a file of Python."""
    return (FOLDER / f"{parent}.py").read_text("utf-8")


def show(parent: str) -> str:
    return (
        "This is a causal layer of a language model. It maps features x of shape [b t d] to "
        "[b t d], and y[:, t] depends on x[:, : t + 1] alone.\n\n"
        f"```python\n{source(parent)}```\n\nWrite another causal layer with the same interface "
        f"{TASK} Answer with one complete Python file."
    )


def read(text: str, parent: str) -> str:
    """The file that an answer holds, if it passes every gate and is not its parent."""
    found = extracted(text)
    if same(found, source(parent)):
        raise UnreadableError(["it is the parent again: write another layer"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "idea.py"
        path.write_text(IMPORTS + found, "utf-8")  # which answers often forget
        try:
            stranger = introduce(str(path))
        except UserError as error:
            raise UnreadableError(str(error).splitlines()) from error
    if stranger.takes != "features":
        raise UnreadableError(["it is not a layer [b t d] to [b t d]"])
    failed = [own for own in stranger.gates if own.passed is False]
    if failed:
        raise UnreadableError([f"gate {own.gate}: {own.detail}" for own in failed])
    return found


def extracted(text: str) -> str:
    """The file in an answer: a fenced block, or all from the first import on, or all of it.

    Raises `UnreadableError` if none of them is Python with a class.
    """
    begun = re.search(r"^(?:import|from|class) ", text, re.MULTILINE)
    faults = []
    found: list[str] = [*FENCE.findall(text), *([text[begun.start() :]] if begun else []), text]
    for one in found:
        try:
            tree = ast.parse(one)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            faults.append(f"it does not parse: {error}")
            continue
        if any(isinstance(part, ast.ClassDef) for part in tree.body):
            return one
        faults.append("there is no class in it")
    raise UnreadableError(faults[:1])


def same(one: str, other: str) -> bool:
    """Whether two files differ in names of their own, docstrings, annotations and comments alone.

    >>> same("class A:\\n    x = 1", "class B:\\n    '''A note.'''\\n    y = 1")
    True
    >>> same("class A:\\n    x = sin(1)", "class A:\\n    x = cos(1)")
    False
    """
    return _plain(one) == _plain(other)


def _plain(text: str) -> str:
    tree = ast.parse(text)
    own: dict[str, str] = {}  # names that the file gives, numbered as they appear
    for part in ast.walk(tree):
        if isinstance(part, DOCUMENTED) and ast.get_docstring(part, clean=False) is not None:
            part.body = part.body[1:] or [ast.Pass()]
        if isinstance(part, ast.FunctionDef):
            part.returns = None
        if isinstance(part, ast.arg):
            part.annotation = None
        for name in _given(part):
            if name not in KEPT:
                own.setdefault(name, f"own_{len(own)}")
    for part in ast.walk(tree):
        for key in ("id", "arg", "name", "attr"):
            if isinstance(held := getattr(part, key, None), str) and held in own:
                setattr(part, key, own[held])
    return ast.dump(tree)


def _given(part: ast.AST) -> list[str]:
    """The names that a part of a file gives to something."""
    if isinstance(part, ast.ClassDef | ast.FunctionDef):
        return [part.name]
    if isinstance(part, ast.arg):
        return [part.arg]
    if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
        return [part.id]
    if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
        return [part.attr]
    return []


FORM = Form("code", show, read, free, most_tokens=400)
