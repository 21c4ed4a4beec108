"""The source text of a model's classes and all they use, ready to stand in one file.

Works on the syntax trees of the modules that define them: a definition's names are looked up among
its module's definitions and imports, followed transitively, and put in dependency order.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeAlias

from palmette.errors import PalmetteError

Where: TypeAlias = tuple[str, str]  # module, name in it
Edit: TypeAlias = tuple[int, int, int, str]  # line and columns (bytes, from 0), new text

_REMARK = re.compile(r"\s+# (type: ignore|noqa)\b.*$", re.MULTILINE)


@dataclass
class Sources:
    """Definitions in dependency order, and the imports that they need."""

    texts: dict[Where, str] = field(default_factory=dict)
    names: dict[Where, str] = field(default_factory=dict)  # as they are called in the one file
    imports: set[str] = field(default_factory=set)
    from_imports: dict[str, set[str]] = field(default_factory=dict)

    def add(self, module: str, name: str) -> None:
        """Adds a definition after everything that it uses.

        Raises `PalmetteError` if it needs something that cannot be copied.
        """
        where = (module, name)
        if where in self.names:
            return
        self.names[where] = self._free_name(module, name)
        source = _source(module)
        definition = source.definition(name)
        used: dict[str, str] = {}
        for word in definition.words:
            new_name = self._resolve(source, word)
            if new_name is not None and new_name != word:
                used[word] = new_name
        if self.names[where] != name:
            used[name] = self.names[where]
        self.texts[where] = definition.text(used, source.shape_types)

    def import_lines(self) -> list[str]:
        """The import statements, the standard library's first."""
        lines = [f"import {name}" for name in self.imports]
        for module, names in self.from_imports.items():
            lines.append(f"from {module} import {', '.join(sorted(names))}")
        ours = [line for line in lines if line.split()[1].partition(".")[0] == "torch"]
        standard = [line for line in lines if line not in ours]
        order = [
            sorted(group, key=lambda line: (line[:4] == "from", line)) for group in (standard, ours)
        ]
        return [*order[0], *([""] if order[0] and order[1] else []), *order[1]]

    def _free_name(self, module: str, name: str) -> str:
        """The name itself unless another module's definition has taken it."""
        if name not in self.names.values():
            return name
        stem = module.rpartition(".")[2].strip("_")
        longer = f"_{stem}{name}" if name.startswith("_") else f"{stem}_{name}"
        assert longer not in self.names.values(), f"no free name for {module}.{name}"
        return longer

    def _resolve(self, source: _Source, word: str) -> str | None:
        """Adds what a name of a module means; its name in the one file, None for a builtin."""
        if word in source.definitions:
            self.add(source.module, word)
            return self.names[source.module, word]
        if word in source.shape_types:
            self.from_imports.setdefault("torch", set()).add("Tensor")
            return None
        if word not in source.imports:
            if hasattr(builtins, word):
                return None
            raise PalmetteError(f"cannot export {source.module}: nothing there defines {word!r}")
        module, name = source.imports[word]
        root = module.partition(".")[0]
        if root == "torch" or root in sys.stdlib_module_names:
            if name is None:
                self.imports.add(module if word == root else f"{module} as {word}")
            else:
                alias = name if name == word else f"{name} as {word}"
                self.from_imports.setdefault(module, set()).add(alias)
            return None
        if name is None or name not in _source(module).definitions:
            raise PalmetteError(
                f"cannot export {source.module}: {word!r} is neither torch's nor a class, function "
                "or constant of its own module; import such a thing by its own name"
            )
        self.add(module, name)
        return self.names[module, name]


@dataclass
class _Definition:
    """One top-level statement of a module: a class, a function or a constant."""

    lines: list[str]
    first: int  # number of the first line, from 1
    tree: ast.stmt

    @property
    def words(self) -> list[str]:
        """The names that it reads and does not bind itself, in the order of the text."""
        bound: set[str] = set()
        words: dict[str, None] = {}
        for part in ast.walk(self.tree):
            if isinstance(part, ast.FunctionDef | ast.ClassDef):
                bound.add(part.name)
            elif isinstance(part, ast.arg):
                bound.add(part.arg)
            elif isinstance(part, ast.Name):
                words[part.id] = None
                if isinstance(part.ctx, ast.Store):
                    bound.add(part.id)
        return [word for word in words if word not in bound]

    def text(self, renamed: dict[str, str], shape_types: frozenset[str]) -> str:
        """Its source, with names replaced and shaped types written as plain tensors."""
        edits: list[Edit] = []
        shapes: dict[int, list[tuple[int, str]]] = {}
        for name in _names(self.tree):
            if name.id in renamed:
                edits.append(self._edit(name, renamed[name.id]))
        for part in ast.walk(self.tree):
            if (
                isinstance(part, ast.Subscript)
                and isinstance(part.value, ast.Name)
                and part.value.id in shape_types
            ):
                edits.append(self._edit(part, "Tensor"))
                found = shapes.setdefault(part.lineno - self.first, [])
                found.append((part.col_offset, _shape(part)))
        lines = [line.encode() for line in self.lines]
        for row, start, end, text in sorted(edits, reverse=True):
            lines[row] = lines[row][:start] + text.encode() + lines[row][end:]
        written = [line.decode() for line in lines]
        own = getattr(self.tree, "name", None)
        if own in renamed:
            row = self.tree.lineno - self.first
            written[row] = re.sub(rf"\b{own}\b", renamed[own], written[row], count=1)
        for row, found in shapes.items():
            arrow = self.lines[row].rfind("->")
            given = [shape for column, shape in sorted(found) if column < arrow or arrow < 0]
            returned = [shape for column, shape in sorted(found) if column > arrow >= 0]
            sides = [", ".join(side) for side in (given, returned) if side]
            written[row] = _with_remark(written[row], " -> ".join(sides))
        return _REMARK.sub("", "\n".join(written))

    def _edit(self, part: ast.expr, text: str) -> Edit:
        assert part.end_lineno == part.lineno, "a shaped type stands on one line"
        assert part.end_col_offset is not None
        return part.lineno - self.first, part.col_offset, part.end_col_offset, text


@dataclass
class _Source:
    """A module's definitions and imports, by the names that they have in it."""

    module: str
    definitions: dict[str, ast.stmt]
    imports: dict[str, tuple[str, str | None]]
    shape_types: frozenset[str]  # names that come from jaxtyping
    lines: list[str]

    def definition(self, name: str) -> _Definition:
        """A definition with its decorators and the comment lines right above it."""
        tree = self.definitions[name]
        decorators = getattr(tree, "decorator_list", [])
        first = min([tree.lineno, *(d.lineno for d in decorators)])
        while first > 1 and self.lines[first - 2].startswith("#"):
            first -= 1
        assert tree.end_lineno is not None
        return _Definition(self.lines[first - 1 : tree.end_lineno], first, tree)


@cache
def _source(module: str) -> _Source:
    path = importlib.import_module(module).__file__
    assert path, f"{module} has a file"
    text = Path(path).read_text(encoding="utf-8")
    definitions: dict[str, ast.stmt] = {}
    imports: dict[str, tuple[str, str | None]] = {}
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.ClassDef | ast.FunctionDef):
            definitions[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            definitions |= {t.id: statement for t in targets if isinstance(t, ast.Name)}
        elif isinstance(statement, ast.Import):
            for one in statement.names:
                name = one.asname or one.name.partition(".")[0]
                imports[name] = (one.name if one.asname else name, None)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.module, f"{module}: imports are absolute"
            for one in statement.names:
                imports[one.asname or one.name] = (statement.module, one.name)
    shape_types = frozenset(name for name, (origin, _) in imports.items() if origin == "jaxtyping")
    return _Source(module, definitions, imports, shape_types, text.splitlines())


def _names(tree: ast.AST) -> list[ast.Name]:
    return [part for part in ast.walk(tree) if isinstance(part, ast.Name)]


def _shape(annotation: ast.Subscript) -> str:
    inside = annotation.slice
    assert isinstance(inside, ast.Tuple), "a shaped type names its array and its shape"
    return f"[{ast.literal_eval(inside.elts[1]).strip()}]"


def _with_remark(line: str, remark: str) -> str:
    """The line with the shapes that its types have lost as a comment, where there is room."""
    longer = f"{line}  # {remark}"
    return longer if "#" not in line and len(longer) <= 100 else line
