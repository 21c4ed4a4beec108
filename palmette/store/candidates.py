"""Candidates in rows: a row of `genome`, and a row of `edge` for each parent."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from palmette.errors import PalmetteError
from palmette.records import Candidate, Prediction
from palmette.store.rows import record, storable
from palmette.store.schema import EdgeTable, GenomeTable

ORIGIN = {"role", "name", "proposal", "proposer", "island", "parents", "edit"}
"""What must agree when a candidate is added again. Measured figures may differ in their last bits
from machine to machine, and texts for people from version to version: the first ones stay."""


def add(connection: Connection, campaign_id: int, candidate: Candidate) -> None:
    """Adds a candidate, or does nothing if it is there with the same origin.

    Raises `PalmetteError` if it is there with another.
    """
    there = _row(connection, campaign_id, candidate.genome, candidate.replica)
    if there is not None:
        _refuse_other_origin(_candidate(there, _edges(connection, there)), candidate)
        return
    newest = select(func.max(GenomeTable.number)).where(GenomeTable.campaign_id == campaign_id)
    numbers = candidate.fingerprint
    connection.execute(
        insert(GenomeTable).values(
            campaign_id=campaign_id,
            number=(connection.scalar(newest) or 0) + 1,
            fingerprint=None if numbers is None else json.dumps(numbers),
            **candidate.model_dump(
                include={
                    *("genome", "replica", "expression", "role", "name", "proposal", "island"),
                    *("parameters", "flops_forward", "state_bytes"),
                }
            ),
        )
    )
    shared = {
        "campaign_id": campaign_id,
        "child": candidate.genome,
        "replica": candidate.replica,
        "edit": candidate.edit,
        "edit_text": storable(candidate.edit_text),
        "motivation": storable(candidate.motivation),
        "prediction": candidate.prediction and candidate.prediction.model_dump_json(),
        "proposer": candidate.proposer,
    }
    told = any(shared[name] for name in ("edit", "edit_text", "motivation", "prediction"))
    parents: tuple[str | None, ...] = candidate.parents
    if not parents and (told or candidate.proposer):
        parents = (None,)  # an edge from nothing: a proposer made it without a parent
    for position, parent in enumerate(parents):
        connection.execute(insert(EdgeTable).values(**shared, position=position, parent=parent))


def has(connection: Connection, campaign_id: int, genome: str, replica: int) -> bool:
    """Whether (genome, replica) is a candidate of a campaign."""
    return _row(connection, campaign_id, genome, replica) is not None


def read(connection: Connection, campaign_id: int) -> list[Candidate]:
    """All candidates of a campaign, in the order in which they were added."""
    edges: dict[tuple[str, int], list[Row[Any]]] = defaultdict(list)
    for edge in connection.execute(
        select(EdgeTable)
        .where(EdgeTable.campaign_id == campaign_id)
        .order_by(EdgeTable.child, EdgeTable.replica, EdgeTable.position)
    ):
        edges[edge.child, edge.replica].append(edge)
    genomes = connection.execute(
        select(GenomeTable)
        .where(GenomeTable.campaign_id == campaign_id)
        .order_by(GenomeTable.number)
    )
    return [_candidate(row, edges[row.genome, row.replica]) for row in genomes]


def _row(connection: Connection, campaign_id: int, genome: str, replica: int) -> Row[Any] | None:
    return connection.execute(
        select(GenomeTable).where(
            GenomeTable.campaign_id == campaign_id,
            GenomeTable.genome == genome,
            GenomeTable.replica == replica,
        )
    ).one_or_none()


def _edges(connection: Connection, genome: Row[Any]) -> list[Row[Any]]:
    mine = select(EdgeTable).where(
        EdgeTable.campaign_id == genome.campaign_id,
        EdgeTable.child == genome.genome,
        EdgeTable.replica == genome.replica,
    )
    return list(connection.execute(mine.order_by(EdgeTable.position)))


def _candidate(row: Row[Any], edges: list[Row[Any]]) -> Candidate:
    first = edges[0] if edges else None
    prediction = first.prediction if first else None
    return Candidate(
        genome=row.genome,
        expression=row.expression,
        replica=row.replica,
        role=row.role,
        name=row.name,
        proposal=row.proposal,
        proposer=first.proposer if first else None,
        island=row.island,
        parents=tuple(edge.parent for edge in edges if edge.parent is not None),
        edit=first.edit if first else None,
        edit_text=first.edit_text if first else None,
        motivation=first.motivation if first else None,
        prediction=record(Prediction, prediction) if prediction else None,
        parameters=row.parameters,
        flops_forward=row.flops_forward,
        state_bytes=row.state_bytes,
        fingerprint=tuple(json.loads(row.fingerprint)) if row.fingerprint else None,
    )


def _refuse_other_origin(there: Candidate, again: Candidate) -> None:
    before, now = there.model_dump(include=ORIGIN), again.model_dump(include=ORIGIN)
    changed = [
        f"{name} {before[name]!r} -> {now[name]!r}" for name in before if before[name] != now[name]
    ]
    if changed:
        raise PalmetteError(
            f"genome {there.genome[:12]} (replica {there.replica}) is a candidate already, with "
            f"another origin: {', '.join(sorted(changed))}; propose each genome once"
        )
