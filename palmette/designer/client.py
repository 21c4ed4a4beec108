"""An endpoint at a URL: any server that speaks OpenAI's chat completions.

    client = Client("http://127.0.0.1:8077/v1")
    client.ask("some-model", Request((Message("user", "Hello"),))).text

A call is bounded in bytes and in time, retries included. Tried again is what certainly was not
paid for: no connection, 429, 5xx. An answer that began and came to nothing is not, since the budget
holds one call's worth; it is taken to have cost as much as it could. What a server needs to hold
a model to a shape (`manner`) is found out once for each model and shape, by its errors.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from palmette.designer import manner as manners
from palmette.designer.breaker import Breaker
from palmette.designer.completion import Completion, completion, is_json, names, vectors
from palmette.designer.endpoint import Answer, CallError, Request
from palmette.designer.exchange import Exchange, ExchangeError
from palmette.designer.failure import call_error, kind, outage, passing, quoted
from palmette.designer.manner import Manner
from palmette.designer.secret import Secrets
from palmette.designer.usage import usage

T = TypeVar("T")
BATCH = 64  # texts that are embedded at once


@dataclass(frozen=True)
class Patience:
    """How long a client goes on: all times in seconds.

    `seconds` is for a whole call with its `attempts`; between them a random time up to `pause`,
    twice as long each time, or what the server asks for if it is at most `longest_pause`. After
    `outages` calls in a row without an answer nothing is asked for `rest`, which doubles.
    """

    seconds: float = 180.0
    attempts: int = 4
    pause: float = 0.5
    longest_pause: float = 20.0
    outages: int = 3
    rest: float = 5.0
    longest_rest: float = 300.0


class Client:
    """Asks the server at a URL, from any number of threads.

    `failures` counts what went wrong, attempt by attempt; "form" is a server that had to be asked
    in another way. Raises `UserError` if the `openai` package is not installed.
    """

    def __init__(self, url: str, key: str | None = None, patience: Patience | None = None) -> None:
        self.patience = patience or Patience()
        self.failures: Counter[str] = Counter()
        self._secrets = Secrets(url, key)
        self._exchange = Exchange(url, key, self._secrets)
        self._breaker = Breaker(
            self.patience.outages, self.patience.rest, self.patience.longest_rest
        )
        self._manners: dict[tuple[str, str, tuple[str, ...]], Manner] = {}
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._random = random.Random()  # of pauses alone: clients must not come in step

    def __repr__(self) -> str:
        return f"Client({self._secrets.url!r})"

    def models(self) -> tuple[str, ...]:
        """The names of the models that are served. Raises `CallError`."""
        listed = self._guarded(
            partial(self._tried, lambda seconds: names(self._exchange.models(seconds)))
        )
        return tuple(map(self._secrets.cut, listed))

    def ask(self, model: str, request: Request) -> Answer:
        """One answer; its seconds are those of all attempts and pauses. Raises `CallError`."""
        return self._guarded(partial(self._asked, model, request), model, request)

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text. Raises `CallError`."""
        found: list[list[float]] = []
        for start in range(0, len(texts), BATCH):
            batch = list(texts[start : start + BATCH])

            def send(seconds: float, batch: list[str] = batch) -> list[list[float]]:
                return vectors(self._exchange.embed(model, batch, seconds), len(batch))

            found += self._guarded(partial(self._tried, send), model)
        return found

    def close(self) -> None:
        """Ends what is under way, and the pauses between attempts."""
        self._closed.set()
        self._exchange.close()

    def _guarded(
        self, call: Callable[[float], T], model: str = "", request: Request | None = None
    ) -> T:
        """A call under the breaker; what goes wrong becomes a `CallError`.

        It is raised outside the `except`, so that nothing the server told hangs on it.
        """
        if self._closed.is_set():
            raise CallError("unreachable", f"{self._secrets.url} is closed")
        rest = self._breaker.enter()
        if rest is not None:
            told = f"{self._secrets.url} gave no answer {self._breaker.row} times in a row"
            raise CallError("unreachable", f"{told}; it is asked again in {rest:.0f} s")
        out = False
        error: CallError
        try:
            return call(time.monotonic() + self.patience.seconds)
        except ExchangeError as failed:
            error = call_error(failed, self._secrets, model, self.patience.seconds, request)
            out = outage(failed)
        except CallError as declined:
            error = declined
        finally:
            self._breaker.leave(out)
        raise error

    def _asked(self, model: str, request: Request, until: float) -> Answer:
        begun = time.monotonic()
        said, manner, sent = self._negotiated(model, request, until)
        text = self._secrets.cut(said.text)
        spent = usage(said.usage, request, sent, said.text)
        if said.refusal is not None:
            told = f"the model {model} declines: {quoted(said.refusal, self._secrets)}"
            self._count("refused")
            raise CallError("refused", told, spent.tokens_in, spent.tokens_out)
        form = manner.form
        if form == "schema" and not said.cut and not is_json(text):
            # the server took the schema and did not hold to it: another form, from now on
            self._keep(model, request, manners.without_form(manner, request.shape) or manner)
            form = "text"
        return Answer(
            text,
            model,
            form,
            spent.tokens_in,
            spent.tokens_out,
            spent.counted,
            time.monotonic() - begun,
            said.cut,
        )

    def _negotiated(
        self, model: str, request: Request, until: float
    ) -> tuple[Completion, Manner, int]:
        """A completion, the manner in which it was got, and the bytes that were sent for it."""
        shape = request.shape
        with self._lock:
            manner = self._manners.get(_own(model, request), manners.first(shape))
        while True:
            fields = manners.body(manner, model, request)
            other = partial(manners.objection, manner, shape)

            def send(seconds: float, fields: dict[str, Any] = fields) -> Completion:
                return completion(self._exchange.chat(fields, seconds))

            try:
                said = self._tried(send, until, other)
            except ExchangeError as error:
                found = other(error.status, error.told)
                if found is None:
                    raise
                manner = found
            else:
                self._keep(model, request, manner)
                return said, manner, len(json.dumps(fields))

    def _tried(
        self,
        send: Callable[[float], T],
        until: float,
        other: Callable[[int, str], Manner | None] = lambda status, told: None,
    ) -> T:
        """What the server sends, after a few attempts; `other` says that another way is wanted."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return send(max(0.001, until - time.monotonic()))
            except ExchangeError as error:
                if other(error.status, error.told) is not None:
                    self._count("form")
                    raise
                self._count(kind(error))
                pause = self._pause(error, attempt)
                if pause is None or time.monotonic() + pause > until:
                    raise
            if self._closed.wait(pause):
                raise ExchangeError("closed")

    def _pause(self, error: ExchangeError, attempt: int) -> float | None:
        """Seconds until the next attempt; None if there is none."""
        if attempt >= self.patience.attempts or not passing(error):
            return None
        longest = self.patience.longest_pause
        if error.retry_after is not None:
            return error.retry_after if error.retry_after <= longest else None
        most = min(self.patience.pause * 2.0 ** (attempt - 1), longest)
        return self._random.uniform(most / 2, most)

    def _keep(self, model: str, request: Request, manner: Manner) -> None:
        with self._lock:
            self._manners[_own(model, request)] = manner

    def _count(self, kind: str) -> None:
        with self._lock:
            self.failures[kind] += 1


def _own(model: str, request: Request) -> tuple[str, str, tuple[str, ...]]:
    """What a manner is remembered by: a server may take one shape and choke on another."""
    shape = request.shape
    return model, shape.name if shape else "", tuple(manners.forms(shape))
