"""What models cost: a table that ships, and ages, and what the user says, which goes before it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

from palmette.errors import UserError

_FORM = re.compile(r"(?P<name>\S.*)=(?P<tokens_in>\d{1,6}(\.\d+)?)/(?P<tokens_out>\d{1,6}(\.\d+)?)")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    tokens_in: float
    tokens_out: float

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (self.tokens_in * tokens_in + self.tokens_out * tokens_out) / 1e6


def parse_price(text: str) -> tuple[str, Price]:
    """Reads `NAME=IN/OUT`. Raises `UserError` for anything else.

    >>> parse_price("smollm2=0/0")
    ('smollm2', Price(tokens_in=0.0, tokens_out=0.0))
    >>> parse_price("openai/gpt-4o=2.5/10")[0]
    'openai/gpt-4o'
    """
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise UserError(
            "a price is NAME=IN/OUT in US dollars per million tokens of prompts and of answers, "
            f"such as some-model=0.15/0.60; {text!r} is not. Give one with --llm-price"
        )
    return match["name"], Price(float(match["tokens_in"]), float(match["tokens_out"]))


@cache
def table() -> tuple[date, Mapping[str, Price]]:
    """The day of the prices that ship, and those prices by the models' names."""
    text = files("palmette").joinpath("data", "prices.toml").read_text("utf-8")
    held = tomllib.loads(text)
    return held["date"], {name: Price(*pair) for name, pair in held["models"].items()}


def prices(said: Iterable[str] = ()) -> dict[str, Price]:
    """Every known price; what was `said` with --llm-price goes before the table."""
    return dict(table()[1]) | dict(map(parse_price, said))
