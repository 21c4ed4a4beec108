"""What a server's JSON says: a completion, vectors, names of models. All of it may be wrong.

Everything here raises `ExchangeError` where the JSON is not what the protocol has.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from palmette.designer.exchange import ExchangeError

NAMES = 1000  # models of a server that are listed, at most
NAME_CHARACTERS = 200
CENSORED = "its filter withheld the answer"


@dataclass(frozen=True)
class Completion:
    """The first choice: its text, whether it ended too early, why the model declined, if it did."""

    text: str
    cut: bool
    refusal: str | None
    usage: object


def completion(said: object) -> Completion:
    """A chat completion."""
    whole = _mapping(said)
    if "choices" not in whole and whole.get("error"):
        raise _hidden(whole["error"])
    choices = whole.get("choices")
    if not isinstance(choices, list) or not choices:
        raise ExchangeError("broken", "a completion without choices")
    choice = _mapping(choices[0])
    message = _mapping(choice.get("message"))
    finish = choice.get("finish_reason")
    refusal = message.get("refusal")
    if isinstance(refusal, str) and refusal:
        declined: str | None = refusal
    else:
        declined = CENSORED if finish == "content_filter" else None
    text = _text(message.get("content"))
    if text is None and declined is None:
        raise ExchangeError("broken", "a completion without text")
    return Completion(text or "", finish == "length", declined, whole.get("usage"))


def names(said: object) -> tuple[str, ...]:
    """The models of a list of models."""
    rows = _mapping(said).get("data")
    if not isinstance(rows, list):
        raise ExchangeError("broken", "no list of models")
    found = [row.get("id") for row in rows[:NAMES] if isinstance(row, dict)]
    return tuple(name for name in found if isinstance(name, str) and _is_name(name))


def vectors(said: object, count: int) -> list[list[float]]:
    """So many embeddings, all of one length, in the order of the texts."""
    rows = _mapping(said).get("data")
    if not isinstance(rows, list) or len(rows) != count:
        raise ExchangeError("broken", f"no {count} embeddings")
    found: dict[int, list[float]] = {}
    for place, row in enumerate(map(_mapping, rows)):
        index, vector = row.get("index", place), row.get("embedding")
        if not isinstance(index, int) or not isinstance(vector, list) or not vector:
            raise ExchangeError("broken", "embeddings that are no lists of numbers")
        if not all(type(x) in (int, float) and math.isfinite(x) for x in vector):
            raise ExchangeError("broken", "embeddings that are not finite numbers")
        found[index] = [float(x) for x in vector]
    if set(found) != set(range(count)) or len({len(vector) for vector in found.values()}) > 1:
        raise ExchangeError("broken", "embeddings that do not belong together")
    return [found[place] for place in range(count)]


def is_json(text: str) -> bool:
    """Whether a text is JSON from its beginning to its end.

    A line's end within a string counts: servers that hold models to a schema let it through.

    >>> is_json('{"why": "one\\n two"}'), is_json("{why}")
    (True, False)
    """
    try:
        json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return False
    return True


def error_text(body: str) -> str:
    """What the body of an error says, in the protocol's form or any other; of one line."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = body
    for name in ("error", "message", "detail", "code"):
        if isinstance(said, dict) and said.get(name):
            said = said[name]
    return " ".join("".join(c if c.isprintable() else " " for c in str(said)).split())


def _hidden(error: object) -> ExchangeError:
    """An error that came with status 200, as routers of several providers send it."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    return ExchangeError("status", json.dumps(error), status)


def _text(content: object) -> str | None:
    """The text of a message, whole or in parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(part for part in parts if isinstance(part, str)) if parts else None
    return content if isinstance(content, str) else None


def _mapping(said: object) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise ExchangeError("broken", "JSON of another kind")
    return said


def _is_name(name: str) -> bool:
    return 0 < len(name) <= NAME_CHARACTERS and name.isprintable()
