"""A GBNF grammar of the JSON that a schema describes, for language models held to a grammar.

GBNF is the notation of llama.cpp. The JSON is written on one line, with a space after each comma
and colon, and with its properties in the order of the schema, those that are required first; so a
model spends no tokens on layout. As much of JSON Schema is read as `schema` and `revision_schema`
write, and strings, numbers and booleans beside it.
"""

from __future__ import annotations

import json
import re
from typing import Any

LONGEST = 1000  # characters of a string whose schema names no bound
_SHARED = {
    "character": r"""[^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" [0-9a-fA-F]{4,4})""",
    "number": 'integer ("." [0-9]{1,15})?',
    "integer": '"-"? ("0" | [1-9] [0-9]{0,14})',
    "boolean": '"true" | "false"',
    "null": '"null"',
}
_LITERAL = re.compile(r'"(?:\\.|[^"\\])*"')
_WORD = re.compile(r"[a-z0-9-]+")


def json_gbnf(schema: dict[str, Any]) -> str:
    """The grammar of a schema's JSON text; its start is `root`.

    Raises `ValueError` for what it does not know, and for an object without a required property.

    >>> print(json_gbnf({"enum": ["a", 2, True]}).rstrip())
    root ::= "\\"a\\"" | "2" | "true"
    """
    rules = {"root": _body(schema)}
    for name, defined in schema.get("$defs", {}).items():
        rules[_rule_name(name)] = _body(defined)
    used = set(_WORD.findall(_LITERAL.sub("", " ".join(rules.values()))))
    for name, body in _SHARED.items():
        if name in used:
            rules[name] = body
            used |= set(_WORD.findall(_LITERAL.sub("", body)))
    return "".join(f"{name} ::= {body}\n" for name, body in rules.items())


def _body(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return _rule_name(schema["$ref"].removeprefix("#/$defs/"))
    if "anyOf" in schema:
        return " | ".join(_part(way) for way in schema["anyOf"])
    if "const" in schema:
        return _literal(json.dumps(schema["const"]))
    if "enum" in schema:
        return " | ".join(_literal(json.dumps(value)) for value in schema["enum"])
    match schema.get("type"):
        case "object":
            return _object(schema)
        case "array":
            return _array(schema)
        case "string":
            least, most = schema.get("minLength", 0), schema.get("maxLength", LONGEST)
            return f'"\\"" character{{{least},{most}}} "\\""'
        case "number" | "integer" | "boolean" | "null" as kind:
            return str(kind)
    raise ValueError(f"json_gbnf knows no schema such as {json.dumps(schema)[:200]}")


def _object(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    properties = schema["properties"]
    first = [name for name in properties if name in required]
    if not first:
        raise ValueError(f"json_gbnf wants a required property among {', '.join(properties)}")
    parts = []
    for number, name in enumerate([*first, *(n for n in properties if n not in required)]):
        before = "{" if number == 0 else ", "
        part = f"{_literal(f'{before}{json.dumps(name)}: ')} {_part(properties[name])}"
        parts.append(part if name in required else f"({part})?")
    return " ".join([*parts, '"}"'])


def _array(schema: dict[str, Any]) -> str:
    item = _part(schema["items"])
    least, most = schema.get("minItems", 0), schema["maxItems"]
    filled = f'"[" {item} (", " {item}){{{max(least, 1) - 1},{most - 1}}} "]"'
    return filled if least else f'"[]" | {filled}'


def _part(schema: dict[str, Any]) -> str:
    """A schema's body inside another one."""
    body = _body(schema)
    return f"({body})" if " | " in body else body


def _literal(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _rule_name(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower())
