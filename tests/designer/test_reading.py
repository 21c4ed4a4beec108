from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from palmette.designer.reading import LONGEST, read_as, read_json
from palmette.designer.session import UnreadableError


class Idea(BaseModel):
    model_config = ConfigDict(extra="forbid")

    motivation: str = Field(max_length=40)
    change: float
    edit: dict[str, Any]


def faults(text: str, model: type[BaseModel] | None = None) -> tuple[str, ...]:
    with pytest.raises(UnreadableError) as caught:
        read_as(model, text) if model else read_json(text)
    assert not caught.value.refused
    return caught.value.faults


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(plain, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(plain, values, min_size=1, max_size=5)


@given(objects, st.sampled_from([None, 2]), st.booleans())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_json_is_read_as_it_is(data: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only)
    assert read_json(text) == data
    assert read_json(f"Here it is:\n```json\n{text}\n```\nI hope that helps.") == data


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers() | st.booleans() | st.none(), min_size=1)
)
@settings(max_examples=50, derandomize=True, deadline=None)
def test_python_literals_are_read(data: dict[str, Any]) -> None:
    assert read_json(repr(data)) == data


@given(st.text(st.sampled_from("{}[](),:;\"'`\\/#* \n\tu0d8a1.-ep=%“”")))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_any_text_ends_in_an_object_or_an_explanation(text: str) -> None:
    for shape in (text, '{"a": ' + text, "{'a': '" + text, '{"a": [1, ' + text):
        try:
            found = read_json(shape)
        except UnreadableError as error:
            found = dict.fromkeys(error.faults)
        assert found
        json.dumps(found, allow_nan=False).encode()


@given(objects, st.data())
@settings(max_examples=100, derandomize=True, deadline=None)
def test_a_cut_answer_invents_nothing(data: dict[str, Any], draw: st.DataObject) -> None:
    text = json.dumps(data)
    cut = text[: draw.draw(st.integers(1, len(text)))]
    try:
        found = read_json(cut)
    except UnreadableError:
        return
    assert set(found) <= set(data)
    for key, value in found.items():
        if isinstance(data[key], int | float | None):
            assert value == data[key]
        elif isinstance(data[key], str):
            assert data[key].startswith(value.rstrip("\ufffd"))


ANSWER = '{"motivation": "more state", "change": 0.01, "edit": {"move": "prune", "at": "p2"}}'
MEANT = json.loads(ANSWER)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (ANSWER, MEANT),
        ("\ufeff" + ANSWER, MEANT),
        (f"```json\n{ANSWER}\n```", MEANT),
        (f"```\n{ANSWER}\n```\nThis prunes p2 {{p2}}.", MEANT),
        (f"Certainly! Of the places {{p1, p2}} I take p2.\n\n{ANSWER}", MEANT),
        (f"<think>maybe {{'move': 'tune'}}?</think>{ANSWER}", MEANT),
        (ANSWER + ANSWER.replace("p2", "p3"), MEANT),
        (ANSWER.replace('"', "'"), MEANT),
        (ANSWER.replace('"', "“", 1).replace('"', "”", 1), MEANT),
        (ANSWER.replace("}}", ",},}"), MEANT),
        (ANSWER.replace(", ", "\n"), MEANT),
        (ANSWER.replace(", ", ", // why\n").replace("{", "{ /* so */ ", 1), MEANT),
        (ANSWER.replace(", ", ",  # why\n"), MEANT),
        ('{motivation: "more state", change: .01, edit: {move: prune, at: p2}}', MEANT),
        (ANSWER[:-1], MEANT),
        (ANSWER[:-2], MEANT),
        (ANSWER[:-3], MEANT | {"edit": {"move": "prune"}}),
        (ANSWER[:49], {"motivation": "more state", "change": 0.01}),
        (ANSWER[:43], {"motivation": "more state"}),
        (ANSWER[:25], {"motivation": "more stat"}),
        (
            "{'a': None, 'b': True, 'c': False, 'd': (1, 2), 'e': 8/3, 'f': nan, 'g': -1_000}",
            {"a": None, "b": True, "c": False, "d": [1, 2], "e": "8/3", "f": None, "g": -1000},
        ),
        ('{"a": 1e400, "b": -Infinity, "c": NaN}', {"a": None, "b": None, "c": None}),
        ("{'a': 'it's what's needed', 'b': 1}", {"a": "it's what's needed", "b": 1}),
        ('{"a": "the "best" one", "b": 1}', {"a": 'the "best" one', "b": 1}),
        (
            '{"a": "two\nlines", "b": "\\ud83c\\udf34 \\ud800\\u0000"}',
            {"a": "two\nlines", "b": "🌴 �"},
        ),
        ('{"a": ["x", "y z', {"a": ["x", "y z"]}),
        ('{"a": ["x", "y', {"a": ["x"]}),
        ('{} {"a": 1}', {"a": 1}),
        ('```json\n{"a": "```", "b": 1\n```', {"a": "```", "b": 1}),
    ],
    ids=range(29),
)
def test_what_is_read_of_an_answer(text: str, meant: object) -> None:
    assert read_json(text) == meant


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the answer is empty; answer with a JSON object"),
        (
            "prune p2",
            "the answer holds no JSON object, it begins 'prune p2'; answer with one alone",
        ),
        ('["a"]', "the answer holds no JSON object, it begins '[\"a\"]'; answer with one alone"),
        (
            '{"a": %}',
            "the answer holds no JSON object: wanted a value at character 7, got '%'; "
            "answer with one alone",
        ),
        (
            "{" * 100,
            "the answer holds no JSON object: wanted a key at character 2, got '{'; "
            "answer with one alone",
        ),
        (
            '{"a":' * 100,
            "the answer holds no JSON object: nested more than 64 deep; answer with one alone",
        ),
        (
            '{"a": ' + "9" * 5000 + "}",
            "the answer holds no JSON object: a number of 5000 characters; answer with one alone",
        ),
        (
            '{"a": "' + "b" * 10_000_000,
            "the answer has 10,000,007 characters, of 60,000 at most; answer in short",
        ),
    ],
    ids=["empty", "prose", "list", "value", "braces", "deep", "digits", "10 MB"],
)
def test_what_cannot_be_read_is_explained(text: str, told: str) -> None:
    assert faults(text) == (told,)


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot assist with this request.",
        "As an AI language model, I do not design networks.",
        "My apologies, but I will not answer.",
    ],
)
def test_refusals_are_recognised(text: str) -> None:
    with pytest.raises(UnreadableError, match=r"^the answer declines: ") as caught:
        read_json(text)
    assert caught.value.refused
    assert read_json(f"{text} Still: {ANSWER}") == MEANT


@pytest.mark.parametrize(
    "part", ["{", "[", "{'a':", '{"', '\\"', "/*", "# {", "'x' ", "((", '{"a" ']
)
def test_a_long_hostile_answer_is_survived(part: str) -> None:
    text = ('{"a": [' + part * LONGEST)[:LONGEST]
    try:
        found = read_json(text)
    except UnreadableError as error:
        found = dict.fromkeys(error.faults)
    assert found


def test_a_record_is_read_with_all_its_faults_as_sentences() -> None:
    assert read_as(Idea, ANSWER).edit == {"move": "prune", "at": "p2"}
    told = faults('{"motivation": 3, "change": "much", "why": 1}', Idea)
    assert told == (
        "$.motivation: wants a string, got 3",
        "$.change: wants a number, got 'much'",
        "$.edit: is missing",
        "$.why: is not asked for; leave it out",
    )
    (long,) = faults(ANSWER.replace("more state", "more " * 20), Idea)
    assert long.startswith("$.motivation: string should have at most 40 characters, got 'more ")


def test_of_several_objects_the_first_that_fits_is_read() -> None:
    example = 'In the form {"motivation": "...", "edit": {}} I answer: '
    assert read_as(Idea, example + ANSWER).change == 0.01
    assert faults(example, Idea) == ("$.change: is missing",)
