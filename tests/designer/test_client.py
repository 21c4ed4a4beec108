import json
import os
import threading
import time

import pytest

from palmette.designer.client import Client, Patience
from palmette.designer.connect import connect
from palmette.designer.endpoint import CallError, Message, Request, Shape
from palmette.testing.scripted import (
    Reply,
    Served,
    broken,
    dripping,
    failing,
    huge,
    refusing,
    saying,
    truncated,
)

HURRIED = Patience(seconds=10, pause=0.001, outages=100)
ASKED = Request((Message("user", "Which layer comes next, and why that one?"),), most_tokens=50)
OBJECT = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
SHAPED = Request(ASKED.messages, Shape("an idea", OBJECT), most_tokens=50)
HONEST = {"prompt_tokens": 12, "completion_tokens": 3}


def asked(behaviours, request=ASKED, patience=HURRIED):
    """The answer or the error, what the server was asked, and the client's counts."""
    with Served(behaviours) as server:
        client = Client(server.url, "sk-some-key", patience)
        try:
            return client.ask("served", request), server.asked, dict(client.failures)
        except CallError as error:
            return error, server.asked, dict(client.failures)
        finally:
            client.close()


def test_an_answer():
    answer, (came,), failures = asked([saying("A wider one.", usage=HONEST)])
    assert (answer.text, answer.model, answer.form) == ("A wider one.", "served", "text")
    assert (answer.tokens_in, answer.tokens_out, answer.counted) == (12, 3, True)
    assert answer.seconds > 0
    assert not answer.cut
    assert not failures
    assert came.body == {
        "model": "served",
        "messages": [{"role": "user", "content": ASKED.messages[0].text}],
        "max_tokens": 50,
        "temperature": 0.8,
    }
    assert came.headers["authorization"] == "Bearer sk-some-key"


def test_an_answer_in_parts_and_one_that_was_cut():
    parts = [{"type": "text", "text": "A "}, {"type": "text", "text": "wider one."}]
    assert asked([saying(parts)])[0].text == "A wider one."
    assert asked([saying("A wid", finish="length")])[0].cut


@pytest.mark.parametrize(
    "figures",
    [
        pytest.param(None, id="none"),
        pytest.param("many", id="text"),
        pytest.param({"prompt_tokens": -4, "completion_tokens": 3}, id="negative"),
        pytest.param({"prompt_tokens": 12, "completion_tokens": 10**12}, id="absurd"),
        pytest.param({"prompt_tokens": 12, "completion_tokens": True}, id="boolean"),
        pytest.param({"prompt_tokens": 12.5, "completion_tokens": 3}, id="fraction"),
        pytest.param({"prompt_tokens": 1, "completion_tokens": 3}, id="too-few-by-far"),
        pytest.param({"prompt_tokens": 12}, id="half"),
    ],
)
def test_figures_that_cannot_be_true_are_estimated(figures):
    answer = asked([saying("A wider one.", usage=figures)])[0]
    assert (answer.tokens_in, answer.tokens_out, answer.counted) == (ASKED.tokens, 4, False)


@pytest.mark.parametrize(
    ("behaviour", "kind", "told", "attempts"),
    [
        (failing(401, "bad key"), "unauthorised", r"refuses the key; .*API_KEY \(401\)$", 1),
        (failing(403), "unauthorised", "check OPENAI_API_KEY", 1),
        (failing(404, "no such model"), "unknown model", "no model 'served', or .*404 no such", 1),
        (failing(400, "The model x does not exist"), "unknown model", "has no model", 1),
        (failing(400, "odd field"), "server error", "could not answer: 400 odd field$", 1),
        (failing(400, "maximum context length is 9"), "too large", "no prompt of this length", 1),
        (failing(413), "too large", "takes no prompt of this length: 413 no", 1),
        (failing(402), "account empty", "nothing left to spend", 1),
        (failing(429, "insufficient_quota"), "account empty", "nothing left to spend", 1),
        (failing(429, "slow down", 0.001), "rate limited", "how often it is asked: 429 slow", 4),
        (failing(429, retry_after=3600), "rate limited", "limits how often", 1),
        (failing(500, "boom"), "server error", "could not answer: 500 boom", 4),
        (failing(503), "server error", "could not answer: 503", 4),
        (Reply(b"<html>\x00\n gone", 502), "server error", "502 <html> gone$", 4),
        (Reply(status=307, headers=(("Location", "/v2"),)), "server error", "answer: 307", 1),
        (Reply(hang_up=True), "unreachable", "no server answers at http://127", 4),
        (truncated("an answer"), "bad answer", "bytes that are not JSON", 1),
        (broken("an answer"), "bad answer", "the connection ended after", 1),
        (Reply(b"[]"), "bad answer", "JSON of another kind", 1),
        (Reply(b"[" * 200_000), "bad answer", "not JSON", 1),
        (Reply(b'{"choices": []}'), "bad answer", "without choices", 1),
        (saying(None), "bad answer", "without text", 1),
        (huge(10), "too large", "more than 4 MB", 1),
        (huge(10, status=500), "server error", "could not answer: 500", 4),
        (Reply(b'{"error": {"message": "busy", "code": 503}}'), "server error", "503 busy", 4),
        (refusing("Never."), "refused", "the model served declines: Never.", 1),
        (saying("So", finish="content_filter"), "refused", "its filter withheld", 1),
        (failing(400, "content_filter triggered"), "refused", "declines", 1),
    ],
)
def test_every_failure_has_a_kind_and_a_sentence(behaviour, kind, told, attempts):
    error, came, failures = asked([behaviour])
    assert isinstance(error, CallError), error
    assert error.kind == kind
    with pytest.raises(CallError, match=told):
        raise error
    assert "\n" not in str(error)
    assert len(str(error)) < 400
    assert len(came) == attempts
    assert failures == {kind: attempts}


@pytest.mark.parametrize("behaviour", [truncated("x"), huge(5)], ids=["truncated", "huge"])
def test_what_may_have_been_paid_for_is_taken_as_paid(behaviour):
    error = asked([behaviour])[0]
    assert (error.tokens_in, error.tokens_out) == (ASKED.tokens, ASKED.most_tokens)


@pytest.mark.parametrize(
    "behaviour", [dripping("slowly", 0.05), Reply(wait=30), failing(429, retry_after=1)]
)
def test_a_call_ends_in_time(behaviour):
    begun = time.monotonic()
    error, came, _ = asked([behaviour], patience=Patience(seconds=0.4))
    assert error.kind in ("timeout", "rate limited")
    assert time.monotonic() - begun < 5
    assert len(came) == 1


def test_a_server_that_recovers_is_asked_again():
    answer, came, failures = asked([failing(429, retry_after=0), failing(500), "at last"])
    assert answer.text == "at last"
    assert len(came) == 3
    assert failures == {"rate limited": 1, "server error": 1}


def test_no_server_at_all():
    with Served(["x"]) as server:
        url = server.url
    client = Client(url, patience=HURRIED)
    with pytest.raises(CallError, match="no server answers at http://127") as caught:
        client.models()
    assert caught.value.kind == "unreachable"


def test_an_endpoint_that_is_out_rests():
    patience = Patience(seconds=5, attempts=1, outages=2, rest=60)
    with Served([failing(500), failing(500), "fine"]) as server:
        client = Client(server.url, patience=patience)
        kinds = []
        for _ in range(4):
            with pytest.raises(CallError) as caught:
                client.ask("served", ASKED)
            kinds.append(caught.value.kind)
        assert kinds == ["server error", "server error", "unreachable", "unreachable"]
        assert "gave no answer 2 times in a row; it is asked again in 60 s" in str(caught.value)
        assert len(server.asked) == 2
        client.close()


def test_a_request_that_is_refused_is_no_outage():
    patience = Patience(seconds=5, outages=1, rest=60)
    with Served([failing(400, "context length"), failing(404), refusing(), "fine"]) as server:
        client = Client(server.url, patience=patience)
        for kind in ("too large", "unknown model", "refused"):
            with pytest.raises(CallError) as caught:
                client.ask("served", ASKED)
            assert caught.value.kind == kind
        assert client.ask("served", ASKED).text == "fine"
        client.close()


def llama_cpp(came):
    """As llama-cpp-python's server answers."""
    form = came.body.get("response_format", {}).get("type", "text")
    if form not in ("text", "json_object"):
        told = f"{{'loc': ('body', 'response_format', 'type'), 'input': '{form}'}}"
        return failing(500, told)
    return "{}"


def test_the_form_that_a_server_takes_is_found_and_kept():
    with Served(llama_cpp) as server:
        client = Client(server.url, patience=Patience(seconds=10, outages=1))
        assert [client.ask("served", SHAPED).form for _ in range(3)] == ["schema"] * 3
        forms = [came.body["response_format"] for came in server.asked]
        client.close()
    assert [form["type"] for form in forms] == ["json_schema", *["json_object"] * 3]
    assert forms[0]["json_schema"] == {"name": "an_idea", "schema": OBJECT, "strict": True}
    assert forms[1]["schema"] == OBJECT
    assert client.failures == {"form": 1}


def test_a_server_that_knows_no_form_answers_freely():
    def served(came):
        wanting = "response_format" in came.body or "grammar" in came.body
        return failing(400, "unknown field") if wanting else "free"

    answer, came, failures = asked(served, SHAPED)
    assert (answer.text, answer.form) == ("free", "text")
    assert [list(one.body)[-1] for one in came] == ["response_format"] * 2 + ["temperature"]
    assert failures == {"form": 2}


def test_a_grammar_goes_in_its_own_field():
    shape = Shape("word", grammar='root ::= "yes"')
    answer, (came,), _ = asked(["yes"], Request(ASKED.messages, shape))
    assert answer.form == "grammar"
    assert came.body["grammar"] == 'root ::= "yes"'


def test_a_server_that_ignores_the_schema_is_asked_in_another_form():
    with Served(["free words", "{}"]) as server:
        client = Client(server.url, patience=HURRIED)
        assert [client.ask("served", SHAPED).form for _ in range(2)] == ["text", "schema"]
        types = [came.body["response_format"]["type"] for came in server.asked]
        client.close()
    assert types == ["json_schema", "json_object"]


def test_fields_that_a_model_does_not_take_are_left_out():
    def served(came):
        if "max_tokens" in came.body:
            return failing(400, "Unsupported 'max_tokens': use 'max_completion_tokens' instead.")
        if "temperature" in came.body:
            return failing(400, "Unsupported value: 'temperature' does not support 0.8.")
        return failing(400, "no seed please") if "seed" in came.body else "{}"

    with Served(served) as server:
        client = Client(server.url, patience=HURRIED)
        request = Request(ASKED.messages, SHAPED.shape, most_tokens=50, seed=7)
        assert [client.ask("served", request).form for _ in range(2)] == ["schema"] * 2
        assert len(server.asked) == 5
        assert server.asked[-1].body["max_completion_tokens"] == 50
        client.close()


def test_a_prompt_that_is_too_long_is_no_objection_to_the_form():
    error, came, _ = asked([failing(400, "maximum context length is 2048 tokens")], SHAPED)
    assert (error.kind, error.tokens_in) == ("too large", 0)
    assert len(came) == 1


def test_models_and_embeddings():
    with Served(["x"], models=["a", "b"]) as server:
        client = Client(server.url, patience=HURRIED)
        assert client.models() == ("a", "b")
        vectors = client.embed("a", [f"text {number}" for number in range(70)])
        assert len(vectors) == 70
        assert len({len(vector) for vector in vectors}) == 1
        client.close()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"data": 5}',
        b'{"data": []}',
        b'{"data": [{"embedding": [NaN]}]}',
        b'{"data": [{"index": 3, "embedding": [1.0]}]}',
        b'{"data": [{"embedding": ["a"]}]}',
    ],
)
def test_vectors_that_are_none(body):
    with Served(["x"], elsewhere=lambda came: Reply(body)) as server:
        client = Client(server.url, patience=HURRIED)
        with pytest.raises(CallError) as caught:
            client.embed("a", ["text"])
        assert caught.value.kind == "bad answer"
        client.close()


def test_closing_ends_what_is_under_way():
    with Served([Reply(wait=30)]) as server:
        client = Client(server.url, patience=Patience(seconds=30))
        caught = []

        def ask():
            try:
                client.ask("served", ASKED)
            except CallError as error:
                caught.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        while len(server.asked) < 3:
            time.sleep(0.01)
        client.close()
        for thread in threads:
            thread.join(10)
        assert [error.kind for error in caught] == ["unreachable"] * 3
        with pytest.raises(CallError, match="is closed"):
            client.ask("served", ASKED)


def test_many_threads_ask_at_once():
    with Served(lambda came: came.body["messages"][0]["content"]) as server:
        client = Client(server.url, patience=HURRIED)
        said = {}

        def ask(number):
            said[number] = client.ask("served", Request((Message("user", f"{number}"),))).text

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        client.close()
    assert said == {number: f"{number}" for number in range(20)}


@pytest.mark.local_model
@pytest.mark.skipif("PALMETTE_TEST_LLM" not in os.environ, reason="PALMETTE_TEST_LLM names none")
def test_a_real_model_keeps_to_a_schema(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", os.environ["PALMETTE_TEST_LLM"])
    endpoint, models = connect(())
    words = {"enum": ["recurrence", "attention", "convolution"]}
    schema = {
        "type": "object",
        "properties": {"mixer": words, "why": {"type": "string", "maxLength": 40}},
        "required": ["mixer", "why"],
        "additionalProperties": False,
    }
    told = "Which token mixer has a state of constant size? Answer as JSON."
    request = Request((Message("user", told),), Shape("mixer", schema), most_tokens=60, seed=1)
    answer = endpoint.ask(models[0], request)
    endpoint.close()
    assert answer.form == "schema"
    assert answer.counted
    said = json.loads(answer.text)
    assert said["mixer"] in words["enum"]
    assert len(said["why"]) <= 40
