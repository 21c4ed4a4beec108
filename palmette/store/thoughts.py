"""Designers' thoughts in rows, and the texts of their prompts, each text once a campaign."""

from __future__ import annotations

from sqlalchemy import BindParameter, Connection, bindparam, func, insert, select

from palmette.records import Thought
from palmette.store.rows import record, storable
from palmette.store.schema import PromptTable, ThoughtTable

COLUMNS = {
    *("proposal", "proposer", "role", "attempt", "model", "prompt", "outcome", "origin"),
    *("tokens_in", "tokens_out", "usd", "seconds"),
}

# Made once: a proposal adds several thoughts, and making a statement takes longer than running it.
_campaign: BindParameter[int] = bindparam("campaign_id")
NEWEST = select(func.max(ThoughtTable.number)).where(ThoughtTable.campaign_id == _campaign)
ADD = insert(ThoughtTable.__table__)  # type: ignore[arg-type]
ADD_PROMPT = insert(PromptTable.__table__)  # type: ignore[arg-type]
PROMPT = select(PromptTable.text).where(
    PromptTable.campaign_id == _campaign, PromptTable.hash == bindparam("hash")
)


def add(connection: Connection, campaign_id: int, thought: Thought, prompt: str | None) -> None:
    """Adds a thought at the end, and its prompt's text unless that is there."""
    kept = Thought.model_validate(storable(thought.model_dump()))
    newest = connection.scalar(NEWEST, {"campaign_id": campaign_id})
    row = {
        "campaign_id": campaign_id,
        "number": (newest or 0) + 1,
        "record": kept.model_dump_json(),
        **kept.model_dump(include=COLUMNS),
    }
    connection.execute(ADD, row)
    if (
        prompt is not None
        and kept.prompt is not None
        and prompt_text(connection, campaign_id, kept.prompt) is None
    ):
        row = {"campaign_id": campaign_id, "hash": kept.prompt, "text": storable(prompt)}
        connection.execute(ADD_PROMPT, row)


def read(connection: Connection, campaign_id: int) -> list[Thought]:
    """All thoughts of a campaign, in the order in which they were added."""
    mine = select(ThoughtTable.record).where(ThoughtTable.campaign_id == campaign_id)
    texts = connection.scalars(mine.order_by(ThoughtTable.number)).all()
    return [record(Thought, text) for text in texts]


def spent(connection: Connection, campaign_id: int) -> tuple[int, float | None] | None:
    """The tokens of all prompts and answers, and the dollars of those whose price is known.

    None if no model was asked.
    """
    tokens = func.sum(ThoughtTable.tokens_in + ThoughtTable.tokens_out)
    mine = select(tokens, func.sum(ThoughtTable.usd)).where(
        ThoughtTable.campaign_id == campaign_id, ThoughtTable.model.is_not(None)
    )
    total, usd = connection.execute(mine).one()
    return None if total is None else (int(total), usd)


def prompt_text(connection: Connection, campaign_id: int, digest: str) -> str | None:
    """The text of a prompt, or None if it was never kept."""
    return connection.scalar(PROMPT, {"campaign_id": campaign_id, "hash": digest})
