"""`palmette list`: what there is to use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from palmette.cli._options import FormatOption
from palmette.cli._print import show_rows
from palmette.gates import GATES
from palmette.grammar.syntax import signature
from palmette.model import atlas
from palmette.ops import primitives
from palmette.records import GateRow, PrimitiveRow, ProposerRow, Record, TaskRow
from palmette.search.proposers import proposers
from palmette.tasks import TASKS
from palmette.tasks.sealed import SEALED


class Kind(StrEnum):
    """What can be listed."""

    ATLAS = "atlas"
    PRIMITIVES = "primitives"
    TASKS = "tasks"
    GATES = "gates"
    PROBES = "probes"
    CLAIMS = "claims"
    PROPOSERS = "proposers"


def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")], form: FormatOption = "table"
) -> None:
    """List the architectures of the atlas, or what the registries hold."""
    show_rows(ROWS[kind](), form)


def _primitives() -> list[PrimitiveRow]:
    return [
        PrimitiveRow(
            name=cls.name,
            summary=cls.summary(),
            sort=cls.sort.value,
            role=cls.role,
            signature=signature(cls),
        )
        for cls in primitives
    ]


def _tasks() -> list[TaskRow]:
    known = [
        TaskRow(name=cls.name, summary=cls.summary(), sealed=False, chance_bits=cls().chance_bits)
        for cls in TASKS
    ]
    return known + [
        TaskRow(name=family.name, summary=family.summary(), sealed=True) for family in SEALED
    ]


def _gates() -> list[GateRow]:
    return [GateRow(name=cls.name, summary=cls.summary()) for cls in GATES]


def _proposers() -> list[ProposerRow]:
    return [ProposerRow(name=cls.name, summary=cls.summary()) for cls in proposers]


ROWS: dict[Kind, Callable[[], Sequence[Record]]] = {
    Kind.ATLAS: atlas.rows,
    Kind.PRIMITIVES: _primitives,
    Kind.TASKS: _tasks,
    Kind.PROPOSERS: _proposers,
    Kind.GATES: _gates,
    # No probe or claim is in this version; scripts may ask for them all the same.
    Kind.PROBES: list,
    Kind.CLAIMS: list,
}
