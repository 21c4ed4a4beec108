"""A model that answers every role legally, from a draw: for tests and studies without a model.

    studio = scripted_studio()
    Llm(studio).ask(archive, turn)

An answer is drawn from the schema that came with the request, by a generator that the request
alone seeds; so the same request has the same answer, in whatever order requests come.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from palmette.designer.endpoint import Answer, CallError, Request
from palmette.designer.money import Ledger
from palmette.designer.session import Studio
from palmette.records import DesignerConfig
from palmette.testing.scripted import Scripted

SAID = "A gate beside the recurrence may keep older pairs alive while newer ones are written."
FEW = 2  # items of a list at most, and the odds against a property that may be left out


def scripted_studio(
    answer: Callable[[str, Request], str | Answer | CallError] | None = None,
    **config: Any,
) -> Studio:
    """A studio whose model answers so; further arguments are of its `DesignerConfig`."""
    models = config.pop("models", ("scripted",))
    endpoint = Scripted(answer or legal, models)
    return Studio(endpoint, DesignerConfig(models=models, **config), Ledger())


def legal(model: str, request: Request) -> str:
    """An answer of the shape that was asked for; a plain sentence where none was."""
    if request.shape is None or request.shape.schema is None:
        return SAID
    rng = random.Random(f"{model}/{request.digest}/{request.seed}")
    return json.dumps(drawn(request.shape.schema, rng))


def drawn(schema: dict[str, Any], rng: random.Random, whole: dict[str, Any] | None = None) -> Any:
    """A value that a JSON Schema allows; `whole` is the schema that references lead into.

    Knows what the schemas of the grammar and of the roles are made of.

    >>> drawn({"enum": ["a", "b"]}, random.Random(0))
    'b'
    """
    whole = schema if whole is None else whole
    if "$ref" in schema:
        return drawn(whole["$defs"][schema["$ref"].rpartition("/")[2]], rng, whole)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return drawn(rng.choice(schema["anyOf"]), rng, whole)
    kind = schema["type"]
    if kind == "object":
        held = {
            name: part
            for name, part in schema["properties"].items()
            if name in schema["required"] or rng.randrange(FEW + 1) == 0
        }
        return {name: drawn(part, rng, whole) for name, part in held.items()}
    if kind == "array":
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", least + FEW), least + FEW)
        return [drawn(schema["items"], rng, whole) for _ in range(rng.randint(least, most))]
    if kind == "string":
        return SAID[: schema.get("maxLength", len(SAID))]
    if kind == "boolean":
        return rng.random() < 0.5
    least, most = schema.get("minimum", 0), schema.get("maximum", 1)
    if kind == "integer":
        return rng.randint(int(least), int(most))
    assert kind == "number", f"a schema of {kind!r} is unknown here"
    return round(rng.uniform(least, most) * 0.05, 4)
