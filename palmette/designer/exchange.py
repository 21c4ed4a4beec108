"""One exchange with a server, by the `openai` package, bounded in bytes and in time.

The package's own reading is not bounded: an answer of any size is held in memory, an error's body
too, and a server that sends a byte now and then is waited for as long as it likes. So bodies are
read here piece by piece, the bodies of errors in a hook before the package sees them, and each
exchange runs in a thread that is left behind when its time is over. Only names that the package
exports are used, whichever HTTP library it stands on.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from palmette.designer.secret import Secrets
from palmette.errors import UserError

LARGEST = 4 * 2**20  # bytes of an answer
LARGEST_ERROR = 64 * 2**10  # bytes of an error's body that are read
CONNECT_SECONDS = 10.0  # at most, for a connection: a server that is busy takes it at once
ERROR_SECONDS = 5.0  # for reading them
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class ExchangeError(Exception):
    """An exchange that brought no JSON.

    unreachable  no connection, or it ended before an answer began
    status       an HTTP error: `status`, its `told`, the seconds that it asks to wait
    timeout      the time was over
    broken       the answer began and did not come whole, or is not JSON
    too large    it has more than `LARGEST` bytes
    closed       the exchange was closed meanwhile

    Its text is the kind alone, since what a server tells may hold secrets.
    """

    def __init__(
        self,
        kind: Literal["unreachable", "status", "timeout", "broken", "too large", "closed"],
        told: str = "",
        status: int = 0,
        retry_after: float | None = None,
    ) -> None:
        self.kind = kind
        self.told = told
        self.status = status
        self.retry_after = retry_after
        super().__init__(kind)


@dataclass(eq=False)
class _Call:
    """What a thread will have brought."""

    ended: threading.Event = field(default_factory=threading.Event)
    brought: bytes = b""
    error: ExchangeError | None = None

    _lock: threading.Lock = field(default_factory=threading.Lock)

    def end(self, brought: bytes = b"", error: ExchangeError | None = None) -> None:
        with self._lock:  # an answer may come as its time ends: it is one or the other
            if not self.ended.is_set():
                self.brought, self.error = brought, error
                self.ended.set()


class Exchange:
    """Sends requests to the server at a URL; from any number of threads.

    Raises `UserError` if the `openai` package is not installed.
    """

    def __init__(self, url: str, key: str | None, secrets: Secrets) -> None:
        try:
            import openai
        except ImportError:
            raise UserError(
                "language models need the openai package: pip install 'palmette[llm]'"
            ) from None
        self._openai = openai
        self._secrets = secrets
        self._live: set[_Call] = set()
        self._lock = threading.Lock()
        self._closed = False
        # in the URL a login would reach the HTTP library's log
        headers = {"Authorization": f"Basic {secrets.basic}"} if secrets.basic else None
        self._client = openai.OpenAI(
            base_url=secrets.url,
            api_key=key or "none",
            default_headers=headers,
            max_retries=0,
            http_client=openai.DefaultHttpxClient(
                event_hooks={"response": [_stop_at_errors]},
                follow_redirects=False,
                # a proxy cannot reach the loopback of this machine
                trust_env=urlsplit(url).hostname not in LOOPBACK,
            ),
        )

    def chat(self, body: dict[str, Any], seconds: float) -> Any:
        """A completion's JSON. Raises `ExchangeError`."""
        rest = {name: value for name, value in body.items() if name not in ("model", "messages")}
        create = self._client.chat.completions.with_streaming_response.create
        return self._json(
            lambda: create(
                model=body["model"],
                messages=body["messages"],
                extra_body=rest,
                timeout=self._within(seconds),
            ),
            seconds,
        )

    def embed(self, model: str, texts: list[str], seconds: float) -> Any:
        """Embeddings' JSON. Raises `ExchangeError`."""
        create = self._client.embeddings.with_streaming_response.create
        return self._json(
            lambda: create(
                model=model, input=texts, encoding_format="float", timeout=self._within(seconds)
            ),
            seconds,
        )

    def models(self, seconds: float) -> Any:
        """The JSON of the list of models. Raises `ExchangeError`."""
        listed = self._client.models.with_streaming_response.list
        return self._json(lambda: listed(timeout=self._within(seconds)), seconds)

    def close(self) -> None:
        """Ends what is under way: those who wait get an `ExchangeError` at once."""
        with self._lock:
            self._closed = True
            idle = not self._live
            for call in self._live:
                call.end(error=ExchangeError("closed"))
        if idle:
            self._client.close()

    def _within(self, seconds: float) -> Any:
        return self._openai.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))

    def _json(self, send: Callable[[], AbstractContextManager[Any]], seconds: float) -> Any:
        body = self._bounded(send, seconds)
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise ExchangeError("broken", f"{len(body)} bytes that are not JSON") from None

    def _bounded(self, send: Callable[[], AbstractContextManager[Any]], seconds: float) -> bytes:
        call = _Call()
        with self._lock:
            if self._closed:
                raise ExchangeError("closed")
            self._live.add(call)
        until = time.monotonic() + seconds
        threading.Thread(
            target=self._run, args=(call, send, until), name="palmette-model", daemon=True
        ).start()
        if not call.ended.wait(seconds):
            call.end(error=ExchangeError("timeout"))
        if call.error is not None:
            raise call.error
        return call.brought

    def _run(
        self, call: _Call, send: Callable[[], AbstractContextManager[Any]], until: float
    ) -> None:
        brought = bytearray()
        try:
            with send() as response:
                for piece in response.iter_bytes():
                    brought += piece
                    if len(brought) > LARGEST:
                        raise ExchangeError("too large", f"more than {LARGEST} bytes")
                    if call.ended.is_set() or time.monotonic() > until:
                        raise ExchangeError("timeout")
            call.end(bytes(brought))
        except Exception as error:  # whatever it is, somebody waits to be told
            call.end(error=self._failed(error, len(brought)))
        finally:
            with self._lock:
                self._live.discard(call)
                last = self._closed and not self._live
            if last:
                self._client.close()

    def _failed(self, error: Exception, came: int) -> ExchangeError:
        """What went wrong, whichever library said so."""
        chain = list(_chain(error))
        for link in chain:
            if isinstance(link, ExchangeError):
                return link
        names = [type(link).__name__ for link in chain]
        if any("Timeout" in name for name in names) and "ConnectTimeout" not in names:
            return ExchangeError("timeout")
        if came:
            return ExchangeError("broken", f"the connection ended after {came} bytes")
        return ExchangeError("unreachable", str(chain[-1]) or names[-1])


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _stop_at_errors(response: Any) -> None:
    """Reads an error's body in bounds, before the package would read it without any."""
    status = int(response.status_code)
    if status < 300:
        return
    until = time.monotonic() + ERROR_SECONDS
    body = bytearray()
    for piece in response.iter_bytes():
        body += piece
        if len(body) > LARGEST_ERROR or time.monotonic() > until:
            break
    told = bytes(body[:LARGEST_ERROR]).decode("utf-8", "replace")
    raise ExchangeError("status", told, status, _seconds(response.headers.get("retry-after")))


def _seconds(text: str | None) -> float | None:
    """A Retry-After header: seconds or a date (RFC 9110, 10.2.3)."""
    if text is None:
        return None
    try:
        return max(0.0, float(text)) if text.strip().lower() != "nan" else None
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
