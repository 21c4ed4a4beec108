"""What a campaign has learned, as cards beside the published ones.

An analyst's lesson is a model's text. It becomes a card only in the shape of one: plain lines
within a card's bounds, the title and what was measured written by us, an expression only if it is
one of the language. A lesson is found by retrieval like any card and shown as quoted data.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from palmette.designer.knowledge import SECTION_WORDS, Card
from palmette.designer.origin import part_of
from palmette.designer.plain import one_line
from palmette.grammar.language import Language
from palmette.records import Thought

SECTION_CHARACTERS = 600
EXPRESSION_CHARACTERS = 400
TITLE_CHARACTERS = 120


def lessons(thoughts: Iterable[Thought], language: Language) -> tuple[Card, ...]:
    """The lessons that analysts drew, in the order in which they did; the first of a proposal."""
    found: dict[int, Card] = {}
    for thought in thoughts:
        if thought.role == "analyst" and thought.outcome == "fine":
            card = _card(thought, language)
            if card is not None:
                found.setdefault(thought.proposal, card)
    return tuple(found.values())


def lesson(
    proposal: int,
    trigger: str,
    insight: str,
    language: Language,
    expression: str = "",
    edit: str = "",
    measured: str = "",
) -> Card | None:
    """A lesson as a card; None if it says nothing.

    `edit` and `measured` tell, in our own words, what was changed and what came of it. What is too
    long is cut; an expression that is not in the language is left out.
    """
    when, told = _section(trigger), _section(insight)
    if not all(any(map(str.isalpha, text)) for text in (when, told)):
        return None
    part = part_of(expression, language) if len(expression) <= EXPRESSION_CHARACTERS else None
    written = f" Build on `{' '.join(expression.split())}`." if part is not None else ""
    return Card(
        name=f"lesson_{proposal}",
        title=_plain(f"Proposal {proposal}: {edit}", TITLE_CHARACTERS),
        paper=None,
        tags=("search",),
        trigger=when,
        insight=told,
        build=(_section(measured) or "Nothing was measured.") + written,
    )


def _card(thought: Thought, language: Language) -> Card | None:
    told = {name: value for name, value in thought.content.items() if isinstance(value, str)}
    return _cached(
        thought.proposal,
        told.get("trigger", ""),
        told.get("insight", ""),
        language,
        told.get("expression", ""),
        told.get("edit", ""),
        told.get("measured", ""),
    )


_cached = lru_cache(maxsize=4096)(lesson)


def _section(text: str) -> str:
    words = _plain(text, SECTION_CHARACTERS).split()
    return " ".join(words[:SECTION_WORDS])


def _plain(text: str, most: int) -> str:
    """One line without backticks, which mark expressions, and without a heading's mark."""
    return one_line(text.replace("`", "'"), most).lstrip("# ").strip()
