"""Models played from a script: within the process, or behind HTTP with every fault of a server.

    endpoint = Scripted(lambda model, request: '{"idea": "a wider key"}')

    with Served([failing(429, retry_after=0), "an answer"]) as server:
        endpoint = Client(server.url, key="none")

`Served` speaks enough of the OpenAI protocol for any client: models, chat completions, embeddings.
"""

from __future__ import annotations

import json
import sys
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from palmette.designer.endpoint import Answer, CallError, Form, Request, tokens

EMBEDDED = 64  # numbers of a vector


class Scripted:
    """An endpoint within the process, whose answers a function gives.

    The function takes the model's name and the request. A text becomes an answer whose tokens are
    estimated and which took no time; an `Answer` is given as it is, a `CallError` is raised.
    `requests` keeps what was asked.
    """

    def __init__(
        self,
        answer: Callable[[str, Request], str | Answer | CallError],
        models: Sequence[str] = ("scripted",),
    ) -> None:
        self.requests: list[Request] = []
        self.closed = False
        self._answer = answer
        self._models = tuple(models)
        self._lock = threading.Lock()

    def models(self) -> tuple[str, ...]:
        """The names that were given."""
        return self._models

    def ask(self, model: str, request: Request) -> Answer:
        """What the script says. Raises `CallError` if that is what it says."""
        with self._lock:  # one at a time, so that a script may count
            self._open(model)
            self.requests.append(request)
            said = self._answer(model, request)
        if isinstance(said, CallError):
            raise said
        if isinstance(said, Answer):
            return said
        count = tokens(said)
        return Answer(said, model, _form(request), request.tokens, count, counted=True, seconds=0.0)

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """A bag of words for each text: texts with common words are near one another."""
        self._open(model)
        return [_bag(text) for text in texts]

    def close(self) -> None:
        """Nothing is answered any more."""
        self.closed = True

    def _open(self, model: str) -> None:
        if self.closed:
            raise CallError("unreachable", "the endpoint is closed")
        if model not in self._models:
            raise CallError("unknown model", f"no model is called {model!r}")


@dataclass(frozen=True)
class Reply:
    """What a server does with one request.

    It waits, sends the status and headers, and then `body`: all of it, or a byte at a time with
    `drip` seconds between, or its first `only` bytes, after which the connection ends. With
    `hang_up` the connection ends before anything is sent. `echo` puts the request's Authorization
    header in the place of the body's `{echo}`.
    """

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    wait: float = 0.0
    drip: float | None = None
    only: int | None = None
    hang_up: bool = False
    echo: bool = False


def saying(
    text: str | None, finish: str = "stop", usage: object = None, **message: object
) -> Reply:
    """A completion. `usage` is put in as it is; further arguments are fields of the message."""
    said = {"role": "assistant", "content": text, **message}
    whole: dict[str, object] = {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "served",
        "choices": [{"index": 0, "message": said, "finish_reason": finish}],
    }
    if usage is not None:
        whole["usage"] = usage
    return Reply(json.dumps(whole).encode())


def failing(status: int, told: str = "no", retry_after: float | None = None) -> Reply:
    """An error in the protocol's form."""
    headers = () if retry_after is None else (("Retry-After", f"{retry_after:g}"),)
    return Reply(json.dumps({"error": {"message": told}}).encode(), status, headers)


def echoing(status: int) -> Reply:
    """An error whose message tells the Authorization header that came."""
    return Reply(b'{"error": {"message": "bad header {echo}"}}', status, echo=True)


def refusing(told: str = "I cannot help with that.") -> Reply:
    """A completion that declines."""
    return saying(None, refusal=told)


def dripping(text: str, pause: float) -> Reply:
    """A completion that comes a byte at a time."""
    return Reply(saying(text).body, drip=pause)


def truncated(text: str) -> Reply:
    """A completion whose JSON ends in the middle, with the length that it says."""
    body = saying(text).body
    return Reply(body[: len(body) // 2])


def broken(text: str) -> Reply:
    """A completion whose connection ends in the middle."""
    body = saying(text).body
    return Reply(body, only=len(body) // 2)


def huge(megabytes: int = 10, status: int = 200) -> Reply:
    """A completion (or an error) of so many megabytes."""
    return Reply(saying("x" * (megabytes * 2**20)).body, status)


@dataclass(frozen=True)
class Asked:
    """A request as it came; headers by their names in lower case."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Behaviour = str | Reply


class _Server(ThreadingHTTPServer):
    """Says nothing of a client that has gone: clients under test do go."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@dataclass
class Served:
    """A server on a loopback port, in a thread, while the context lasts.

    Completions follow `behaviours`: a list, whose last one is repeated, or a function of the
    request. A text is a completion of that text. The list of models and embeddings are answered
    properly, unless a function is given as `elsewhere`. `asked` keeps the requests for completions.
    """

    behaviours: Sequence[Behaviour] | Callable[[Asked], Behaviour]
    models: Sequence[str] = ("served",)
    elsewhere: Callable[[Asked], Behaviour] | None = None
    asked: list[Asked] = field(default_factory=list)
    url: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ended: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        served = self

        class Handler(BaseHTTPRequestHandler):
            """Hands each request to the script."""

            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                """A list of models."""
                served._serve(self)

            def do_POST(self) -> None:
                """A completion or embeddings."""
                served._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing is printed."""

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), name="served", daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length) or b"{}")
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.path, headers, body)
        try:
            self._send(handler, self._reply(asked), headers.get("authorization", ""))
        except OSError:  # whoever asked has gone
            handler.close_connection = True

    def _reply(self, asked: Asked) -> Reply:
        if asked.path == "/v1/chat/completions":
            with self._lock:
                self.asked.append(asked)
                if callable(self.behaviours):
                    said = self.behaviours(asked)
                else:
                    said = self.behaviours[min(len(self.asked), len(self.behaviours)) - 1]
        elif self.elsewhere is not None:
            said = self.elsewhere(asked)
        elif asked.path == "/v1/models":
            rows = [{"id": name, "object": "model"} for name in self.models]
            return Reply(json.dumps({"object": "list", "data": rows}).encode())
        elif asked.path == "/v1/embeddings":
            vectors = [
                {"index": i, "embedding": _bag(t)} for i, t in enumerate(asked.body["input"])
            ]
            return Reply(json.dumps({"object": "list", "data": vectors}).encode())
        else:
            return failing(404, f"no page {asked.path}")
        return saying(said) if isinstance(said, str) else said

    def _send(self, handler: BaseHTTPRequestHandler, reply: Reply, authorization: str) -> None:
        self._ended.wait(reply.wait)
        if reply.hang_up or self._ended.is_set():
            handler.close_connection = True
            return
        body = reply.body
        if reply.echo:
            body = body.replace(b"{echo}", authorization.encode())
        handler.send_response(reply.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in reply.headers:
            handler.send_header(name, value)
        handler.end_headers()
        if reply.drip is not None:
            for place in range(len(body)):
                handler.wfile.write(body[place : place + 1])
                if self._ended.wait(reply.drip):
                    break
        else:
            handler.wfile.write(body[: reply.only])
        if reply.only is not None:
            handler.close_connection = True


def _form(request: Request) -> Form:
    if request.shape is None:
        return "text"
    return "grammar" if request.shape.schema is None else "schema"


def _bag(text: str) -> list[float]:
    vector = [0.0] * EMBEDDED
    for word in text.lower().split():
        vector[zlib.crc32(word.encode()) % EMBEDDED] += 1.0
    return vector
