"""Budgets, and the ledger of what language models have cost.

A cap holds before a call, not after it: a call is made only if the budget would still hold were
its answer as long as it may be and its prompt half as long again as estimated. What a server
counts beyond that, it counts beyond the cap, by one call at most for each that is under way. What
was spent in earlier sessions of a campaign counts. Whether a server's count is believed is settled
where it comes in (`usage`): one below a third of the estimate is not.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from palmette.designer.endpoint import CallError, Request, tokens
from palmette.designer.prices import Price, table
from palmette.errors import UserError

_FORM = re.compile(r"\s*(\d{1,12}(?:\.\d{1,12})?)\s*(k|M)?\s*-?\s*(usd|tokens)\s*")
_MANY = {None: 1, "k": 1_000, "M": 1_000_000}
CAUTION = 1.5  # a prompt may have so many times the tokens that are estimated
TEMPLATE = 64  # tokens that a server puts around it


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
        amount = float(match[1]) * _MANY[match[2]] if match else 0.0
        if match is None or amount == 0 or (match[3] == "tokens" and amount < 1):
            raise UserError(
                "a budget of language models is money such as 2usd or tokens such as 200k-tokens; "
                f"{text!r} is neither. Give one with --llm-budget"
            )
        if match[3] == "usd":
            return cls(text.strip(), usd=amount)
        return cls(text.strip(), tokens=round(amount))


def check_priced(
    budget: ModelBudget | None, models: Iterable[str], prices: Mapping[str, Price]
) -> None:
    """Raises `UserError` if a budget is in money and the price of a model is not known.

    A server on this machine costs nothing only if the user says so.
    """
    unknown = [name for name in models if name not in prices]
    if budget is not None and budget.usd is not None and unknown:
        raise UserError(
            f"a budget of {budget.text} needs a price for {', '.join(unknown)}, and the table of "
            f"{table()[0]} has none; give it with --llm-price {unknown[0]}=IN/OUT in US dollars "
            "per million tokens (0/0 if it costs nothing), or a budget in tokens"
        )


@dataclass(eq=False)
class Reservation:
    """A call's share of the budget: all that it could cost, until it is settled."""

    tokens_in: int
    tokens_out: int

    def settle(self, tokens_in: int, tokens_out: int) -> None:
        """What the call used in the end."""
        self.tokens_in, self.tokens_out = tokens_in, tokens_out


@dataclass
class Ledger:
    """What was spent, under a cap or under none; safe to use from several threads.

    `spent_usd` is what those models cost whose prices are known.
    """

    budget: ModelBudget | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    spent_tokens: int = 0
    spent_usd: float = 0.0
    _held: list[tuple[str, Reservation]] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def usd(self, model: str, tokens_in: int, tokens_out: int) -> float | None:
        """The price of so many tokens; None where none is known."""
        price = self.prices.get(model)
        return price.usd(tokens_in, tokens_out) if price else None

    @property
    def spent(self) -> bool:
        """Whether the cap is reached, so that nothing more can be asked."""
        with self._changed:
            return self.budget is not None and (
                self.spent_tokens >= self.budget.tokens
                if self.budget.tokens is not None
                else self.spent_usd >= (self.budget.usd or 0.0)
            )

    @contextmanager
    def reserve(self, model: str, request: Request) -> Iterator[Reservation]:
        """Holds what a call may cost while it is made; one at a time in a thread.

        If it would fit but for calls under way, it waits for them. A call that raises `CallError`
        is settled with the tokens that the error names; one that nobody settled has cost all that
        it could.

        Raises `CallError` ("over budget") if the cap does not allow it.
        """
        held = most(request)
        with self._changed:
            self._check_priced(model)
            while not self._fits([*self._held, (model, held)]):
                if not self._fits([(model, held)]):
                    raise CallError("over budget", self._spent_before(model, held))
                self._changed.wait()
            self._held.append((model, held))
        try:
            yield held
        except CallError as error:
            held.settle(error.tokens_in, error.tokens_out)
            raise
        finally:
            with self._changed:
                self._held.remove((model, held))
                self.spent_tokens += held.tokens_in + held.tokens_out
                self.spent_usd += self.usd(model, held.tokens_in, held.tokens_out) or 0.0
                self._changed.notify_all()

    def _fits(self, calls: Iterable[tuple[str, Reservation]]) -> bool:
        """Whether the budget holds with these calls on top of what was spent."""
        if self.budget is None:
            return True
        used = [(model, held.tokens_in, held.tokens_out) for model, held in calls]
        if self.budget.tokens is not None:
            return self.spent_tokens + sum(i + o for _, i, o in used) <= self.budget.tokens
        assert self.budget.usd is not None
        return self.spent_usd + sum(self.usd(*one) or 0.0 for one in used) <= self.budget.usd

    def _spent_before(self, model: str, held: Reservation) -> str:
        """Why a call is not made: little may be left, or none."""
        assert self.budget is not None
        most = held.tokens_in + held.tokens_out
        if self.budget.tokens is not None:
            used, next_one = f"{self.spent_tokens:,} tokens", f"{most:,}"
        else:
            price = self.usd(model, held.tokens_in, held.tokens_out) or 0.0
            used, next_one = f"{self.spent_usd:.4f} US dollars", f"{price:.4f}"
        return (
            f"the models' budget of {self.budget.text} is spent: {used} are used, and the next "
            f"call may take {next_one}"
        )

    def _check_priced(self, model: str) -> None:
        if self.budget is not None and self.budget.usd is not None and model not in self.prices:
            told = f"a budget of {self.budget.text} cannot hold {model}, whose price is not known"
            raise CallError("over budget", told)


def most(request: Request) -> Reservation:
    """What a call may use at most: some servers count the schema as a part of the prompt."""
    schema = request.shape.schema if request.shape else None
    beside = tokens(json.dumps(schema)) if schema is not None else 0
    return Reservation(int(CAUTION * request.tokens) + beside + TEMPLATE, request.most_tokens)
