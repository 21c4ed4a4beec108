"""Whole records out of a column of JSON text, and texts that any database takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from palmette.errors import StorageError
from palmette.records import Record

R = TypeVar("R", bound=Record)
SHOWN = 3  # faults


def record(kind: type[R], text: str) -> R:
    """The record that a column holds.

    Raises `StorageError` if it is none of this version's: with the same schema, another version
    may have written other fields.

    >>> from palmette.records import Prediction
    >>> record(Prediction, '{"change": 0.1, "low": 0.0, "high": 0.2, "observations": 3}').high
    0.2
    """
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise _unreadable(kind, error) from error


def of_columns(kind: type[R], **columns: Any) -> R:
    """The record that a row's columns make up; raises as `record` does."""
    try:
        return kind(**columns)
    except ValidationError as error:
        raise _unreadable(kind, error) from error


def records(kind: type[R], text: str) -> tuple[R, ...]:
    """The records that a column holds as a list; raises as `record` does."""
    try:
        return TypeAdapter(tuple[kind, ...]).validate_json(text)  # type: ignore[valid-type]
    except ValidationError as error:
        raise _unreadable(kind, error) from error


def listed(held: Iterable[Record]) -> str:
    """Records as the text of such a column.

    >>> from palmette.records import LineageRow
    >>> records(LineageRow, listed([]))
    ()
    """
    return "[" + ",".join(one.model_dump_json() for one in held) + "]"


def storable(value: Any) -> Any:
    """A text, or data of texts, without what no database takes; all else as it is.

    A worker's last words, or a model's, may hold any bytes.

    >>> storable({"said": ("diverged: \\0", 3)})
    {'said': ('diverged: \\\\0', 3)}
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")
    if isinstance(value, dict):
        return {storable(key): storable(held) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(storable, value))
    return value


def _unreadable(kind: type[Record], error: ValidationError) -> StorageError:
    faults = [
        ".".join(map(str, fault["loc"])) + f" ({fault['msg'].lower()})" for fault in error.errors()
    ]
    more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return StorageError(
        f"the store holds a {kind.__name__} that this version cannot read, because of "
        f"{', '.join(faults[:SHOWN])}{more}; it is damaged or another version's: use the palmette "
        "that wrote it, or name another store with --storage"
    )
