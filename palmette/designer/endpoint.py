"""What a language model is asked and what it answers, whoever serves it.

An endpoint takes requests one at a time and is safe to use from several threads. `client` has the
one that speaks to servers, `palmette.testing.scripted` one that plays a model in tests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from palmette.errors import PalmetteError

Speaker = Literal["system", "user", "assistant"]
Form = Literal["schema", "grammar", "text"]
Failing = Literal[
    "unreachable",
    "timeout",
    "rate limited",
    "server error",
    "unauthorised",
    "unknown model",
    "bad answer",
    "too large",
    "refused",
    "over budget",
    "account empty",
]
CHARACTERS_PER_TOKEN = 3.0  # of English and code, cautiously: where a server does not count


@dataclass(frozen=True)
class Message:
    """One turn of a conversation."""

    speaker: Speaker
    text: str


@dataclass(frozen=True)
class Shape:
    """What an answer has to look like, for servers that can hold a model to it.

    `schema` is a JSON Schema, `grammar` GBNF; a server that can do neither answers freely.
    """

    name: str
    schema: dict[str, Any] | None = None
    grammar: str | None = None


@dataclass(frozen=True)
class Request:
    """A conversation to be answered in at most `most_tokens`."""

    messages: tuple[Message, ...]
    shape: Shape | None = None
    most_tokens: int = 1024
    temperature: float = 0.8
    seed: int | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the messages, as hex."""
        told = [[message.speaker, message.text] for message in self.messages]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    @property
    def tokens(self) -> int:
        """About how many tokens the messages have."""
        return tokens(*(message.text for message in self.messages))


@dataclass(frozen=True)
class Answer:
    """What came: `form` says how the server held the model, `cut` whether it ended too early.

    `counted` says whether the tokens are the server's own count or estimated from the text.
    """

    text: str
    model: str
    form: Form
    tokens_in: int
    tokens_out: int
    counted: bool
    seconds: float
    cut: bool = False


class CallError(PalmetteError):
    """No answer came. `kind` says why; `lasting` whether trying again could not help.

    over budget    the campaign's own budget of models does not hold the call, which was not made
    account empty  the server will not answer before somebody pays

    `tokens_in` and `tokens_out` were spent all the same: as far as the server said, or as much as
    it can have been if an answer began and broke off.
    """

    LASTING: frozenset[Failing] = frozenset(
        {"unauthorised", "unknown model", "over budget", "account empty"}
    )

    def __init__(self, kind: Failing, told: str, tokens_in: int = 0, tokens_out: int = 0) -> None:
        self.kind: Failing = kind
        self.tokens_in = tokens_in
        self.tokens_out = tokens_out
        super().__init__(told)

    @property
    def lasting(self) -> bool:
        """Whether the same call would fail again for as long as nobody mends something."""
        return self.kind in self.LASTING


class Endpoint(Protocol):
    """Answers requests."""

    def models(self) -> tuple[str, ...]:
        """The names of the models that are served. Raises `CallError`."""
        ...

    def ask(self, model: str, request: Request) -> Answer:
        """One answer. Raises `CallError` when none comes, after the endpoint's own retries."""
        ...

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """A vector for each text. Raises `CallError`."""
        ...

    def close(self) -> None:
        """Ends what is under way."""
        ...


def tokens(*texts: str) -> int:
    """About how many tokens texts have, for caps and where a server does not count.

    >>> tokens("a text of some thirty characters")
    11
    """
    return sum(-(-len(text) // int(CHARACTERS_PER_TOKEN)) for text in texts)
