"""The language models of a campaign: what a user wants of them, and the server that has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from palmette.designer.connect import connect
from palmette.designer.endpoint import Endpoint
from palmette.designer.money import ModelBudget, check_priced
from palmette.designer.prices import Price, prices
from palmette.designer.session import Studio
from palmette.errors import UserError
from palmette.records import DesignerConfig
from palmette.search.start import faults_of, studio_for
from palmette.store import Campaign

LEAST = {"steps": 1, "retries": 0, "context_tokens": 512, "answer_tokens": 32, "temperature": 0}


@dataclass(frozen=True)
class Wanted:
    """What a user wants of language models.

    `models` are names, `budget` is a text such as `200k-tokens`, `prices` go before the table that
    ships, `settings` are further fields of `DesignerConfig`.
    """

    models: tuple[str, ...] = ()
    budget: str | None = None
    prices: Mapping[str, Price] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Served:
    """Models that can be asked, and how they are to design."""

    endpoint: Endpoint
    config: DesignerConfig
    budget: ModelBudget | None
    prices: Mapping[str, Price]

    def studio(self, campaign: Campaign) -> Studio:
        """What a campaign's designers work with."""
        return studio_for(campaign, self.endpoint, self.budget, self.prices)


@contextmanager
def served_by(wanted: Wanted, endpoint: Endpoint | None = None) -> Iterator[Served]:
    """The models at an endpoint, or at the server that the environment names, which is closed in
    the end: whoever is asked then gives no answer, and nobody waits for one.

    Raises `UserError` for a wrong setting or budget, for a model without a price under a budget in
    money, for no server, no key, or no such model.
    """
    budget = ModelBudget.parse(wanted.budget) if wanted.budget is not None else None
    config = _config(wanted.models, wanted.settings)
    known = prices() | dict(wanted.prices)
    if endpoint is not None:
        names = wanted.models or endpoint.models()
        check_priced(budget, names, known)
        yield Served(endpoint, _config(names, wanted.settings), budget, known)
        return
    endpoint, names = connect(wanted.models)
    try:
        check_priced(budget, names, known)
        yield Served(endpoint, config.model_copy(update={"models": names}), budget, known)
    finally:
        endpoint.close()


def _config(models: tuple[str, ...], settings: Mapping[str, Any]) -> DesignerConfig:
    try:
        config = DesignerConfig(models=models, **settings)
    except ValidationError as error:
        raise UserError(f"language models cannot design so: {faults_of(error)}") from error
    faults = [
        f"{name} wants {least} or more, got {given}"
        for name, least in LEAST.items()
        if (given := getattr(config, name)) < least
    ]
    if config.answer_tokens >= config.context_tokens:
        faults.append(
            f"answer_tokens wants less than context_tokens ({config.context_tokens}), which holds "
            f"the question too, got {config.answer_tokens}"
        )
    if faults:
        raise UserError(f"language models cannot design so: {'; '.join(faults)}")
    return config
