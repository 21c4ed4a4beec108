"""Prices, budgets, and the ledger of what language models have cost.

A cap holds before a call, not after it: a call is made only if the budget would still hold were
its answer as long as it may be. What was spent in earlier sessions of a campaign counts.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from palmette.designer.endpoint import CallError, Request
from palmette.errors import UserError

_FORM = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(k|M)?\s*-?\s*(usd|tokens)\s*")
_MANY = {None: 1, "k": 1_000, "M": 1_000_000}


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens."""

    tokens_in: float
    tokens_out: float

    def usd(self, tokens_in: int, tokens_out: int) -> float:
        """What so many tokens cost."""
        return (self.tokens_in * tokens_in + self.tokens_out * tokens_out) / 1e6


@dataclass(frozen=True)
class ModelBudget:
    """A cap on what language models may use: `usd` or `tokens`, prompts and answers together."""

    text: str
    usd: float | None = None
    tokens: int | None = None

    @classmethod
    def parse(cls, text: str) -> ModelBudget:
        """Reads `2usd`, `0.5usd`, `200k-tokens` or `1.5M-tokens`.

        Raises `UserError` for anything else.

        >>> ModelBudget.parse("200k-tokens").tokens, ModelBudget.parse("2usd").usd
        (200000, 2.0)
        """
        match = _FORM.fullmatch(text)
        if match is None or float(match[1]) == 0:
            raise UserError(
                "a budget of language models is money such as 2usd or tokens such as 200k-tokens; "
                f"{text!r} is neither. Give one with --llm-budget"
            )
        amount = float(match[1]) * _MANY[match[2]]
        if match[3] == "usd":
            return cls(text.strip(), usd=amount)
        return cls(text.strip(), tokens=round(amount))


@dataclass
class Reservation:
    """A call's share of the budget: all that it could cost, until it is settled."""

    tokens_in: int
    tokens_out: int
    settled: bool = False

    def settle(self, tokens_in: int, tokens_out: int) -> None:
        """What the call used in the end."""
        self.tokens_in, self.tokens_out, self.settled = tokens_in, tokens_out, True


@dataclass
class Ledger:
    """What was spent, under a cap or under none; safe to use from several threads."""

    budget: ModelBudget | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    spent_tokens: int = 0
    spent_usd: float = 0.0
    _reserved: list[tuple[str, Reservation]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def usd(self, model: str, tokens_in: int, tokens_out: int) -> float | None:
        """The price of so many tokens; None where none is known."""
        price = self.prices.get(model)
        return price.usd(tokens_in, tokens_out) if price else None

    @property
    def spent(self) -> bool:
        """Whether nothing more can be asked."""
        with self._lock:
            return self._over(0, 0.0)

    @contextmanager
    def reserve(self, model: str, request: Request) -> Iterator[Reservation]:
        """Holds what a call may cost while it is made.

        A call that raises `CallError` is settled with the tokens that the error names.

        Raises `CallError` ("over budget") if the cap does not allow it.
        """
        held = Reservation(request.tokens, request.most_tokens)
        with self._lock:
            if self._over(held.tokens_in + held.tokens_out, self._price(model, held)):
                told = self.budget.text if self.budget else ""
                raise CallError("over budget", f"the models' budget of {told} is spent")
            self._reserved.append((model, held))
        try:
            yield held
        except CallError as error:
            held.settle(error.tokens_in, error.tokens_out)
            raise
        finally:
            with self._lock:
                self._reserved.remove((model, held))
                if held.settled:
                    self.spent_tokens += held.tokens_in + held.tokens_out
                    self.spent_usd += self._price(model, held)

    def _over(self, more_tokens: int, more_usd: float) -> bool:
        if self.budget is None:
            return False
        waiting = [held for _, held in self._reserved]
        tokens = self.spent_tokens + sum(h.tokens_in + h.tokens_out for h in waiting) + more_tokens
        usd = self.spent_usd + sum(self._price(*own) for own in self._reserved) + more_usd
        if self.budget.tokens is not None:
            return tokens >= self.budget.tokens if not more_tokens else tokens > self.budget.tokens
        assert self.budget.usd is not None
        return usd >= self.budget.usd if not more_usd else usd > self.budget.usd

    def _price(self, model: str, held: Reservation) -> float:
        return self.usd(model, held.tokens_in, held.tokens_out) or 0.0
