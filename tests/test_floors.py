"""Imports point down the floors, and packages on one floor do not import one another."""

import ast
from collections.abc import Iterator
from pathlib import Path

import palmette

PACKAGE = Path(palmette.__file__).parent
FLOORS = (
    {"errors", "registry", "records"},
    {"grammar"},
    {"ops"},
    {"model", "tasks"},
    {"store"},
    {"train"},
    {"gates"},
    {"ladder"},
    {"designer"},
    {"search"},
    {"exam"},
    {"law"},
    {"audit", "explain"},
    {"report", "web"},
    {"cli", "testing"},
)
HEIGHT = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def imports(source: str) -> Iterator[str]:
    """The places of this package that a file imports, by the name of their floor."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
            if node.module == "palmette":
                names = [f"palmette.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "palmette" and rest:
                yield rest.partition(".")[0]


def faults(file: str, source: str) -> list[str]:
    floor = file.partition("/")[0].removesuffix(".py")
    return [
        f"{file} ({floor}) imports {other}"
        for other in imports(source)
        if other in HEIGHT
        and other != floor
        and HEIGHT[other] >= HEIGHT[floor]
        # the lowest floor is three single files that may build on one another
        and HEIGHT[floor] > 0
    ]


def test_imports_point_down():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        file = path.relative_to(PACKAGE).as_posix()
        if file.partition("/")[0].removesuffix(".py") in HEIGHT:
            found += faults(file, path.read_text())
    assert not found, "\n".join(found)


def test_every_package_has_a_floor():
    packages = {p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.glob("*.py"))}
    assert packages <= set(HEIGHT)


def test_the_watch_sees_an_import_upwards():
    assert faults("grammar/x.py", "from palmette.ops import lin") == [
        "grammar/x.py (grammar) imports ops"
    ]
    assert faults("model/x.py", "import palmette.tasks") == ["model/x.py (model) imports tasks"]
    assert faults("ladder/x.py", "from palmette import model") == []


def test_the_grammar_never_imports_torch():
    for path in sorted((PACKAGE / "grammar").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert all(not alias.name.startswith("torch") for alias in node.names), path
            if isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("torch"), path
