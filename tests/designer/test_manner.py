import pytest

from palmette.designer.endpoint import Shape
from palmette.designer.manner import first, fits_strict, forms, objection, without_form

CLOSED = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
BOTH = Shape("edit", CLOSED, "root ::= move")


def closed(**properties):
    return {**CLOSED, "properties": properties, "required": list(properties)}


def test_every_form_is_tried_in_turn():
    assert forms(BOTH) == ["json_schema", "json_object", "grammar", "text"]
    assert forms(Shape("word", grammar="root ::= x")) == ["grammar", "text"]
    assert forms(None) == ["text"]
    manner, held = first(BOTH), []
    while manner is not None:
        held.append((manner.held, manner.form))
        manner = without_form(manner, BOTH)
    assert held == [
        ("json_schema", "schema"),
        ("json_object", "schema"),
        ("grammar", "grammar"),
        ("text", "text"),
    ]


@pytest.mark.parametrize(
    ("status", "told", "held"),
    [
        (500, "validation error in response_format", "json_object"),
        (500, "out of memory", None),
        (400, "what?", "json_object"),
        (400, "this model's maximum context length is 2048", None),
        (400, "json_schema: too many properties, they exceed 100", "json_object"),
        (404, "no endpoint supports response_format", "json_object"),
        (404, "no such model", None),
        (401, "response_format", None),
        (429, "response_format", None),
        (400, "content_filter", None),
    ],
)
def test_which_errors_are_about_the_form(status, told, held):
    other = objection(first(BOTH), BOTH, status, told)
    assert (other and other.held) == held


def test_objections_come_to_an_end():
    told = "max_completion_tokens temperature seed response_format"
    manner, steps = first(BOTH), 0
    while manner is not None:
        manner, steps = objection(manner, BOTH, 400, told), steps + 1
        assert steps < 10
    manner, steps = first(BOTH), 0
    while manner is not None:
        manner, steps = objection(manner, BOTH, 400, "temperature or seed"), steps + 1
        assert steps < 10


@pytest.mark.parametrize(
    ("schema", "fits"),
    [
        (closed(), True),
        (closed(at={"type": "string"}, new={"anyOf": [closed(), {"$ref": "#/$defs/x"}]}), True),
        ({**closed(a={"type": "array", "items": closed()}), "$defs": {"x": closed()}}, True),
        ({**closed(a={"type": "string"}), "required": []}, False),
        (closed(a={"type": "object"}), False),
        (closed(a={"type": "string", "maxLength": 5}), False),
        ({**closed(), "$defs": {"x": {"type": "object"}}}, False),
        ({"anyOf": [closed()]}, False),
    ],
)
def test_which_schemas_are_strict(schema, fits):
    assert fits_strict(schema) is fits
