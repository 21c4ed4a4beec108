"""The wall: what is chosen by scores must not see what exams ask, nor what they found.

Proposers, archive, designers, ladder, explanations and the calibration may import neither the
sealed tasks nor the exam nor its tables. `import` is looked for in every file on the near side of
the wall, and also in every file that proposers, archive, designers, ladder or explanations import
through any number of others.

One of those others trains whatever suite a trial's spec names. It is the door: its import of the
sealed tasks stands in a function and waits for a name that only an exam makes. A last test imports
all but the calibration and looks whether anything sealed has been loaded.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHOOSERS = (
    "palmette.search.proposers",
    "palmette.search.archive",
    "palmette.designer",
    "palmette.ladder",
    "palmette.explain",
)
# The calibration itself must not reach over, but its pictures are drawn with the report's, which
# draws exams as well: what it imports is not followed any further.
NEAR = (*CHOOSERS, "benchmarks.calibration")
WALLED = ("palmette.tasks.sealed", "palmette.store.exams", "palmette.exam")
DOOR = "palmette.train.mixtures"


def below(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def modules() -> dict[str, str]:
    """The text of every module of the project by its name."""
    found = {}
    for package in ("palmette", "benchmarks"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path.read_text(encoding="utf-8")
    return found


@cache
def imports(name: str, text: str) -> tuple[str, ...]:
    """All that a module may import, wherever in it; not what is imported for its types alone.

    `from a import b` names a and a.b: b may be a module. Names given to `import_module` as text
    count as well.
    """
    return tuple(_imports(name, ast.parse(text)))


def _imports(name: str, tree: ast.Module) -> Iterator[str]:
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import, which this watch cannot read"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            for given in node.args:
                if isinstance(given, ast.Constant) and isinstance(given.value, str):
                    yield given.value


def faults(texts: Mapping[str, str]) -> list[str]:
    """A line for every way through the wall: who stands near, and whom it reaches over whom."""
    found = []
    over: dict[str, str | None] = {name: None for name in texts if below(name, NEAR)}
    waiting = list(over)
    for name in waiting:  # grows as it goes
        for wanted in imports(name, texts[name]):
            if below(wanted, WALLED) and name != DOOR:
                way, at = [wanted, name], over[name]
                while at is not None:
                    way.append(at)
                    at = over[at]
                found.append(" <- ".join(way))
                continue
            if not below(name, CHOOSERS) and over[name] is None:
                continue
            parts = wanted.split(".")
            for count in range(1, len(parts) + 1):  # a package is loaded before what is in it
                module = ".".join(parts[:count])
                if module in texts and module not in over and not below(module, WALLED):
                    over[module] = name
                    waiting.append(module)
    return sorted(set(found))


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return modules()


def test_nothing_near_reaches_over_the_wall(texts):
    assert not faults(texts), "\n".join(faults(texts))


def test_both_sides_of_the_wall_are_there(texts):
    """A package that is moved takes its side along, or this watch looks at nothing."""
    for package in (*NEAR, *WALLED, DOOR):
        assert any(below(name, (package,)) for name in texts), package


@pytest.mark.parametrize("near", NEAR)
@pytest.mark.parametrize(
    "line",
    [
        "from palmette.tasks.sealed import exam_suite",
        "from palmette.tasks import sealed",
        "import palmette.exam.judge",
        "from palmette.store.exams import ExamRoom",
        "def later():\n    from palmette import exam",
        "import importlib\nimportlib.import_module('palmette.tasks.sealed')",
    ],
)
def test_the_watch_sees_an_import_that_is_planted(texts, near, line):
    planted = {**texts, near: f"{texts[near]}\n{line}\n"}
    assert len(faults(planted)) >= 1
    assert all(fault.endswith(f"<- {near}") for fault in faults(planted))


def test_the_watch_sees_an_import_behind_others(texts):
    """`palmette.grammar.edit` is imported by proposers, and knows nothing of exams."""
    name = "palmette.grammar.edit"
    planted = {**texts, name: f"{texts[name]}\nimport palmette.exam\n"}
    (fault,) = faults(planted)
    assert fault.startswith(f"palmette.exam <- {name} <- palmette.")
    assert below(fault.rpartition(" <- ")[2], CHOOSERS)


def test_what_is_imported_for_types_alone_is_no_way():
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import palmette.exam\n"
    assert faults({"palmette.ladder": text}) == []


def test_the_door_imports_in_a_function_and_nobody_near_stands_at_it(texts):
    tree = ast.parse(texts[DOOR])
    at_once = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    assert not any("sealed" in ast.unparse(node) for node in at_once)
    assert any(below(name, WALLED) for name in imports(DOOR, texts[DOOR]))
    for name in texts:
        if below(name, NEAR):
            assert DOOR not in imports(name, texts[name]), name


def test_importing_all_choosers_loads_nothing_sealed(texts):
    near = [name for name in texts if below(name, CHOOSERS)]
    script = (
        "import importlib, sys\n"
        f"for name in {near!r}: importlib.import_module(name)\n"
        f"print([m for m in sys.modules if m.startswith({WALLED!r})])\n"
        "from palmette.train.mixtures import mixture_of\n"
        "mixture_of('exam/0123456789abcdef')\n"
        "print('palmette.tasks.sealed' in sys.modules)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines() == ["[]", "True"]
