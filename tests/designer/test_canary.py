"""A key never leaves the client: every fault of a server is provoked, and all that is said kept."""

import logging
import traceback

import pytest

from palmette.designer.client import Client, Patience
from palmette.designer.connect import connect
from palmette.designer.endpoint import CallError, Message, Request, Shape
from palmette.designer.secret import Secrets
from palmette.errors import UserError
from palmette.testing.scripted import (
    Reply,
    Served,
    broken,
    dripping,
    echoing,
    failing,
    huge,
    refusing,
    saying,
    truncated,
)

CANARY = "sk-canary-4f1d77e0c2"
LOGIN = "gardener:pass%2Fword-99"
HIDDEN = (CANARY, "pass%2Fword-99", "pass/word-99", "Z2FyZGVuZXI6cGFzcy93b3JkLTk5")
ECHO = b'{"choices": [{"message": {"content": "you sent {echo}"}}]}'
FAULTS = {
    "answer": "fine",
    "echoing-answer": Reply(ECHO, echo=True),
    "echoing-refusal": Reply(ECHO.replace(b"content", b"refusal"), echo=True),
    **{f"echoing-{status}": echoing(status) for status in (400, 401, 403, 404, 429, 500)},
    "echo-that-is-cut": Reply(b"x" * 190 + b"{echo}", 500, echo=True),
    "echoing-text": Reply(b"no JSON: {echo}", 500, echo=True),
    "echoing-nonsense": Reply(b"no JSON: {echo}", echo=True),
    "limited": failing(429, CANARY, 3600),
    "huge": huge(5),
    "truncated": truncated("x"),
    "broken": broken("x"),
    "hanging-up": Reply(hang_up=True),
    "redirect": Reply(status=302, headers=(("Location", f"/{CANARY}"),)),
    "dripping": dripping("x", 0.1),
    "refusing": refusing(f"not with {CANARY}"),
    "model": saying(f"my key is {CANARY}"),
}


@pytest.mark.parametrize("login", ["", LOGIN + "@"], ids=["key", "login"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_key_is_nowhere(fault, login, caplog, capfd, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    told = []
    request = Request((Message("user", "Hello"),), Shape("idea", {"type": "object"}))
    with caplog.at_level(logging.DEBUG), Served([FAULTS[fault]]) as server:
        for library in ("httpcore", "httpcore2") if fault == "redirect" else ():
            # it logs the headers of answers as they come
            caplog.set_level(logging.INFO, logger=library)
        url = server.url.replace("//", f"//{login}")
        patience = Patience(seconds=0.3, attempts=2, pause=0.001)
        client = Client(url, CANARY, patience)
        for _ in range(2):
            try:
                told.append(repr(client.ask("served", request)))
            except CallError as error:
                told += [str(error), repr(error), repr(vars(error))]
                told += [*traceback.format_exception(error), *contexts(error)]
        told += [repr(client), str(client), repr(client.failures)]
        client.close()
        sent = server.asked[0].headers["authorization"]
    assert sent == (f"Basic {HIDDEN[-1]}" if login else f"Bearer {CANARY}"), "a canary that sings"
    told += [record.getMessage() for record in caplog.records]
    told += [str(record.args) + str(record.exc_info) for record in caplog.records]
    told += capfd.readouterr()
    whole = "\n".join(told)
    for hidden in HIDDEN:
        assert hidden not in whole


def contexts(error):
    while error is not None:
        yield f"{error!r} {error}"
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("url", "answers"),
    [
        ("not a url", []),
        (f"ftp://{LOGIN}@host/v1", []),
        (f"http://127.0.0.1:1/v1?key={CANARY}", []),
        (f"http://{LOGIN}@127.0.0.1:1/v1", []),
        (f"http://{LOGIN}@127.0.0.1:999999/v1", []),
        ("SERVED", [echoing(401)]),
        ("SERVED", [echoing(500)]),
        ("SERVED", [Reply(b'{"data": [{"id": "{echo}"}, {"id": "b"}]}', echo=True)]),
    ],
)
def test_connecting_tells_no_key(url, answers, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setattr("palmette.designer.connect.Patience", lambda **_: Patience(attempts=1))
    with caplog.at_level(logging.DEBUG), Served(["x"], elsewhere=lambda _: answers[0]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url if url == "SERVED" else url)
        with pytest.raises(UserError) as caught:
            connect(())
    whole = caplog.text + "".join(map(str, contexts(caught.value)))
    for hidden in HIDDEN:
        assert hidden not in whole


def test_short_words_are_no_secrets():
    assert Secrets("http://127.0.0.1/v1", "none").cut("there is none") == "there is none"
