"""From the user's environment to an endpoint: which server, which key, which models."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from palmette.designer.client import Client, Patience
from palmette.designer.endpoint import CallError, Endpoint
from palmette.designer.exchange import LOOPBACK
from palmette.errors import UserError

URL = "https://api.openai.com/v1"  # where OPENAI_BASE_URL says nothing
HOST = re.compile(r"[A-Za-z0-9._:%-]+")  # others have a form in these letters, xn--…
NAMED = 100  # characters that an error repeats of a model's name, at most
PROBE_SECONDS = 90.0  # for the list of models: small servers first finish another's answer
LISTED = 40  # names of models that an error lists, at most
OFFLINE = "without a language model, choose other proposers with --proposer"


def connect(models: Sequence[str]) -> tuple[Endpoint, tuple[str, ...]]:
    """The endpoint that OPENAI_BASE_URL and OPENAI_API_KEY name, and the models to ask.

    Without a name the only model that is served is taken. A server on this machine needs no key.

    Raises `UserError`: no key, no server, no such model, the openai package not installed.
    """
    url, key = _named()
    chosen = _chosen(models, _served(url, key))
    return Client(url, key), chosen


def served() -> tuple[str, ...]:
    """The models of the server that OPENAI_BASE_URL and OPENAI_API_KEY name.

    Raises `UserError`: no key, no server, the openai package not installed.
    """
    return _served(*_named())


def _named() -> tuple[str, str | None]:
    url = _url(os.environ.get("OPENAI_BASE_URL", "").strip() or URL)
    return url, _key(os.environ.get("OPENAI_API_KEY", "").strip(), url)


def _served(url: str, key: str | None) -> tuple[str, ...]:
    probe = Client(url, key, Patience(seconds=PROBE_SECONDS, attempts=2))
    try:
        return probe.models()
    except CallError as error:
        raise UserError(f"{error}; {OFFLINE}") from None
    finally:
        probe.close()


def _url(url: str) -> str:
    """The URL. What is wrong with another is said without it: it may hold a password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        fine = parts.scheme in ("http", "https") and bool(HOST.fullmatch(host)) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise UserError(
            "OPENAI_BASE_URL wants an address such as http://127.0.0.1:8077/v1, and holds none"
        )
    if parts.query or parts.fragment:
        raise UserError("OPENAI_BASE_URL wants an address without ? and #, which a log would keep")
    return url


def _key(key: str, url: str) -> str | None:
    if key and not (key.isascii() and key.isprintable() and " " not in key):
        raise UserError("OPENAI_API_KEY holds characters that no key has; set it anew")
    parts = urlsplit(url)
    if not key and parts.hostname not in LOOPBACK and parts.password is None:
        raise UserError(
            f"asking {parts.hostname} wants a key in OPENAI_API_KEY, and there is none; for a "
            f"model on this machine see docs/local-model.md; {OFFLINE}"
        )
    return key or None


def _chosen(named: Sequence[str], served: tuple[str, ...]) -> tuple[str, ...]:
    """The models to ask, each once; of a server that lists none, those that were named."""
    if not named:
        if len(served) != 1:
            raise UserError(f"name a model with --llm-model: the server has{_some(served)}")
        return served
    for name in named if served else ():
        if name not in served:
            near = difflib.get_close_matches(name, served, n=3)
            meant = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
            raise UserError(
                f"the server has no model {name[:NAMED]!r}{meant} It has{_some(served)}"
            )
    return tuple(dict.fromkeys(named))


def _some(served: tuple[str, ...]) -> str:
    rest = ", …" if len(served) > LISTED else ""
    return f" {len(served)}: {', '.join(sorted(served)[:LISTED])}{rest}" if served else " none"
