"""How a server wants to be asked: which form holds a model to a shape, which fields it takes.

Servers that call themselves compatible differ, and say so only by an error. OpenAI's own wants
`json_schema`; llama-cpp-python's answers that with a 500 and wants the schema beside `json_object`;
others know GBNF in a field of their own; newer models want `max_completion_tokens` and no
temperature. The first form is tried first, and an error that can be about it leads to the next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

from palmette.designer.endpoint import Form, Request, Shape

Held = Literal["json_schema", "json_object", "grammar", "text"]
ABOUT_FORM = ("response_format", "json_schema", "json_object", "grammar", "structured", "guided")
ABOUT_LENGTH = ("context length", "context window", "context size", "too long", "exceed")
CENSORED = ("content_filter", "content_policy", "content management policy")
OBJECTING = frozenset({400, 404, 415, 422, 500, 501})  # statuses that may be about a field
PLAIN = frozenset({400, 422})  # those that hardly are about anything else
STRICT_KEYS = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "const"}
    | {"$defs", "$ref", "title", "description", "minimum", "maximum", "minItems", "maxItems"}
)


@dataclass(frozen=True)
class Manner:
    """One way to ask."""

    held: Held
    most: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True
    seed: bool = True

    @property
    def form(self) -> Form:
        """What an answer says of it."""
        if self.held == "json_schema" or self.held == "json_object":
            return "schema"
        return self.held


def forms(shape: Shape | None) -> list[Held]:
    """The forms that a shape allows, in the order in which they are tried."""
    every: list[Held] = []
    if shape is not None and shape.schema is not None:
        every += ["json_schema", "json_object"]
    if shape is not None and shape.grammar is not None:
        every.append("grammar")
    return [*every, "text"]


def first(shape: Shape | None) -> Manner:
    """What is tried first."""
    return Manner(forms(shape)[0])


def without_form(manner: Manner, shape: Shape | None) -> Manner | None:
    """The manner with the next form; None after plain text."""
    every = forms(shape)
    following = every[every.index(manner.held) + 1 :]
    return replace(manner, held=following[0]) if following else None


def objection(manner: Manner, shape: Shape | None, status: int, told: str) -> Manner | None:
    """What to try after an error; None if it is about something else.

    >>> shape = Shape("idea", {"type": "object"})
    >>> objection(first(shape), shape, 500, "response_format.type: got json_schema").held
    'json_object'
    """
    low = told.lower()
    if status not in OBJECTING or any(word in low for word in CENSORED):
        return None
    if manner.most == "max_tokens" and "max_completion_tokens" in low:
        return replace(manner, most="max_completion_tokens")
    about_form = any(word in low for word in ABOUT_FORM)
    if status in PLAIN and not about_form:
        if any(word in low for word in ABOUT_LENGTH):
            return None
        if manner.temperature and "temperature" in low:
            return replace(manner, temperature=False)
        if manner.seed and "seed" in low:
            return replace(manner, seed=False)
    return without_form(manner, shape) if about_form or status in PLAIN else None


def body(manner: Manner, model: str, request: Request) -> dict[str, Any]:
    """The request's JSON."""
    fields: dict[str, Any] = {
        "model": model,
        "messages": [{"role": said.speaker, "content": said.text} for said in request.messages],
        manner.most: request.most_tokens,
    }
    if manner.temperature:
        fields["temperature"] = request.temperature
    if manner.seed and request.seed is not None:
        fields["seed"] = request.seed
    return fields | _held(manner.held, request.shape)


def _held(held: Held, shape: Shape | None) -> dict[str, Any]:
    if shape is None or held == "text":
        return {}
    if held == "grammar":
        return {"grammar": shape.grammar}
    if held == "json_object":
        return {"response_format": {"type": "json_object", "schema": shape.schema}}
    named = {
        "name": re.sub(r"[^A-Za-z0-9_-]", "_", shape.name)[:64],
        "schema": shape.schema,
        "strict": fits_strict(shape.schema),
    }
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def fits_strict(schema: object, root: bool = True) -> bool:
    """Whether a JSON Schema is within what strict structured outputs allow.

    Every object closed with all its properties required, the root one of them, and none but a few
    keywords (OpenAI's guide to structured outputs, "Supported schemas").

    >>> [fits_strict({"type": "object", "additionalProperties": more}) for more in (False, True)]
    [True, False]
    """
    if not isinstance(schema, dict) or not set(schema) <= STRICT_KEYS:
        return False
    properties = schema.get("properties", {})
    if root and schema.get("type") != "object":
        return False
    if (schema.get("type") == "object" or properties) and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", ())) != set(properties)
    ):
        return False
    parts = [*properties.values(), *schema.get("$defs", {}).values(), *schema.get("anyOf", ())]
    parts += [schema["items"]] if "items" in schema else []
    return all(fits_strict(part, root=False) for part in parts)
