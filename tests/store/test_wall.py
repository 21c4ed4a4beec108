"""What an exam has seen stays in the exam room: nothing that searches, ranks or explains can read
its rows or open a draw.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import palmette

PACKAGE = Path(palmette.__file__).parent
WALLED = {"palmette.store.exams", "palmette.store.dump"}
MAY = {"exam", "report", "web", "cli", "testing"}  # floors and packages that stand above the wall
TABLES = {"DrawTable", "ExamTable", "LedgerTable", "CanaryTable"}
ROOM = {"schema.py", "draws.py", "exams.py"}  # of palmette/store


def imported(source: str) -> Iterator[str]:
    """The modules that a text may import, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def faults(file: str, source: str) -> list[str]:
    """What a file of the package does that only the exam room may do."""
    floor, name = file.partition("/")[0], Path(file).name
    inside = floor == "store" and (name in ROOM or "/migrations/" in file)
    passes = floor in MAY or inside or file == "store/dump.py"
    doors = WALLED & set(imported(source))
    found = [] if passes else [f"{file} opens {door}" for door in sorted(doors)]
    named = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    return found + [f"{file} reads {table}" for table in sorted(TABLES & named) if not inside]


def test_only_the_exam_room_reads_exam_rows() -> None:
    found = [
        fault
        for path in sorted(PACKAGE.rglob("*.py"))
        for fault in faults(path.relative_to(PACKAGE).as_posix(), path.read_text())
    ]
    assert not found, "\n".join(found)


def test_the_calibration_has_seen_no_exam() -> None:
    files = sorted((PACKAGE.parent / "benchmarks" / "calibration").rglob("*.py"))
    assert files
    assert not [path.name for path in files if WALLED & set(imported(path.read_text()))]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("search/proposers/x.py", "from palmette.store.exams import ExamRoom"),
        ("search/x.py", "from palmette.store import exams"),
        ("ladder/x.py", "def f():\n    import palmette.store.exams as e"),
        ("explain/x.py", "from palmette.store.dump import dump"),
        ("store/campaign.py", "from palmette.store.exams import ExamRoom"),
        ("cli/x.py", "from palmette.store.schema import ExamTable\nExamTable.plan"),
        ("store/campaign.py", "select(DrawTable.secret)"),
    ],
)
def test_the_watch_sees_a_hole(file: str, source: str) -> None:
    assert faults(file, source)


def test_the_watch_lets_through_who_may() -> None:
    assert not faults("exam/x.py", "from palmette.store.exams import ExamRoom")
    assert not faults("cli/x.py", "from palmette.store.exams import ExamRoom")
