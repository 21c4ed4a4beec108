import json
import urllib.error
import urllib.request

import pytest

from palmette.designer.endpoint import Answer, CallError, Message, Request, Shape
from palmette.testing.scripted import Scripted, Served, echoing, failing, saying

ASKED = Request((Message("user", "Hello there"),), Shape("idea", {"type": "object"}))


def test_a_text_becomes_an_answer():
    endpoint = Scripted(lambda model, request: f"{model}: {request.most_tokens}", models=["m"])
    answer = endpoint.ask("m", ASKED)
    assert answer == Answer("m: 1024", "m", "schema", 4, 3, counted=True, seconds=0.0)
    assert endpoint.requests == [ASKED]
    assert endpoint.models() == ("m",)


def test_an_answer_and_an_error_are_passed_on():
    held = Answer("x", "m", "text", 1, 1, counted=False, seconds=2.0, cut=True)
    assert Scripted(lambda *_: held).ask("scripted", ASKED) is held
    with pytest.raises(CallError, match="so slow"):
        Scripted(lambda *_: CallError("timeout", "so slow")).ask("scripted", ASKED)


def test_unknown_models_and_a_closed_endpoint():
    endpoint = Scripted(lambda *_: "x")
    with pytest.raises(CallError, match="no model is called 'other'"):
        endpoint.ask("other", ASKED)
    endpoint.close()
    with pytest.raises(CallError, match="is closed"):
        endpoint.ask("scripted", ASKED)


def test_texts_with_common_words_are_near():
    endpoint = Scripted(lambda *_: "x")
    a, b, c = endpoint.embed("scripted", ["wide keys recall", "recall wide", "sudoku"])
    assert sum(x * y for x, y in zip(a, b, strict=True)) == 2
    assert sum(x * y for x, y in zip(a, c, strict=True)) == 0


def post(url):
    request = urllib.request.Request(
        f"{url}/chat/completions", b'{"model": "m"}', {"Authorization": "Bearer abc"}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return 200, json.load(answer), {}
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error), error.headers


def test_behaviours_come_in_order_and_the_last_stays():
    with Served(
        [failing(429, "wait", 2), echoing(500), saying("a", usage={"x": 1}), "b"]
    ) as server:
        status, body, headers = post(server.url)
        assert (status, body["error"]["message"], headers["Retry-After"]) == (429, "wait", "2")
        assert post(server.url)[1]["error"]["message"] == "bad header Bearer abc"
        assert post(server.url)[1]["usage"] == {"x": 1}
        said = [post(server.url)[1]["choices"][0]["message"]["content"] for _ in range(2)]
        assert said == ["b", "b"]
        assert [asked.body for asked in server.asked] == [{"model": "m"}] * 5
