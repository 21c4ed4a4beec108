"""The options of `grow` for proposers that ask language models, and what is told of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from palmette.designer.prices import parse_price
from palmette.errors import UserError
from palmette.search.scheduler import Scheduler
from palmette.search.served import Served, Wanted, served_by
from palmette.search.start import designers_of

PANEL = "Language models among the proposers"


def _option(flag: str, told: str) -> Any:
    return typer.Option(flag, help=told, rich_help_panel=PANEL)


MixOption = Annotated[
    str, typer.Option(help="How several proposers share the proposals: turns or bandit.")
]
ModelOption = Annotated[
    str | None, _option("--llm-model", "Models to ask, with commas; the only one if not given.")
]
BudgetOption = Annotated[
    str | None,
    _option("--llm-budget", "The campaign's total: 2usd, 200k-tokens; none if not given."),
]
PriceOption = Annotated[
    list[str] | None, _option("--llm-price", "NAME=IN/OUT, US dollars per million tokens.")
]
StepsOption = Annotated[
    int | None, _option("--llm-steps", "1 proposes, 2 reads cards, 3 thinks, 4 and on revises.")
]
ContextOption = Annotated[
    int | None, _option("--llm-context", "Tokens of a question and its answer together.")
]
AnswerOption = Annotated[int | None, _option("--llm-answer", "Tokens of an answer, at most.")]
KnowledgeOption = Annotated[
    bool, _option("--no-llm-knowledge", "Show no cards of published ideas.")
]
FeedbackOption = Annotated[
    bool, _option("--no-llm-feedback", "Show no scores, siblings and lessons.")
]
EmbeddingOption = Annotated[
    str | None, _option("--llm-embedding-model", "Finds cards by meaning, too.")
]
CodeOption = Annotated[
    bool, _option("--allow-code", "Let models write new primitives, checked behind walls.")
]


def wanted_models(
    proposers: Sequence[str],
    model: str | None,
    budget: str | None,
    price: Sequence[str] | None,
    **settings: object,
) -> Wanted | None:
    """What the options say of language models; None if no proposer asks one.

    `settings` are fields of `DesignerConfig`, None where nothing was said. Raises `UserError` for
    options that nobody would look at, and for a wrong price.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    if not designers_of(proposers):
        if given or model is not None or budget is not None or price:
            raise UserError(
                "options of language models (--llm-…, --no-llm-…, --allow-code) want a proposer "
                f"that asks one, such as --proposer llm,evolution; got {', '.join(proposers)}"
            )
        return None
    names = [name.strip() for name in (model or "").split(",") if name.strip()]
    return Wanted(tuple(names), budget, dict(map(parse_price, price or ())), given)


@contextmanager
def served(wanted: Wanted | None) -> Iterator[Served | None]:
    """The models that are wanted, connected to; None if none are."""
    if wanted is None:
        yield None
        return
    with served_by(wanted) as found:
        yield found


def told_thinking(scheduler: Scheduler) -> str | None:
    """What designers are doing and have used, in a line; None if there are none."""
    proposing = scheduler.proposing
    if not any(own.thinks for own in proposing.mixture.proposers):
        return None
    thoughts = proposing.designs.every_thought
    tokens = sum(thought.tokens_in + thought.tokens_out for thought in thoughts)
    known = [thought.usd for thought in thoughts if thought.usd is not None]
    parts = [f"{proposing.thought_of} thinking", f"{tokens:,} tokens"]
    if known:
        parts.append(f"${sum(known):.4f}")
    if scheduler.ledger and scheduler.ledger.budget:
        parts[-1] += f" of {scheduler.ledger.budget.text}"
    if declined := len(proposing.designs.declined):
        parts.append(f"{declined} came to nothing")
    return ", ".join(parts)


def told_declined(scheduler: Scheduler) -> str | None:
    """How many proposals came to nothing and why most of them did; None if none has."""
    reasons = Counter(own.reason for own in scheduler.proposing.designs.declined)
    if not reasons:
        return None
    reason, times = reasons.most_common(1)[0]
    why = reason if times == reasons.total() else f"{times} of them: {reason}"
    plural = "s" if reasons.total() > 1 else ""
    return f"{reasons.total()} proposal{plural} came to nothing ({why})"
