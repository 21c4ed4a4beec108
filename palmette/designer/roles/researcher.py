"""The researcher: proposes one edit of a genome, why, and what it will do to the score.

The edit is a revision (`grammar.revision`), JSON data that a server can be held to by a schema of
exactly the legal ones; the same data is checked by the grammar whatever the server does. An answer
with faults, of form, of grammar or of the campaign's own checks, is sent back with all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from palmette.designer.endpoint import Message, Shape, tokens
from palmette.designer.origin import Attribution, attribute
from palmette.designer.plain import one_line
from palmette.designer.reading import read_as
from palmette.designer.scene import Told
from palmette.designer.session import Session, UnreadableError, prompt_tokens
from palmette.errors import GenomeError
from palmette.grammar.change import Edited
from palmette.grammar.genome import Genome
from palmette.grammar.json_gbnf import json_gbnf
from palmette.grammar.language import Language
from palmette.grammar.node import Node
from palmette.grammar.revision import revise
from palmette.grammar.revision_schema import answer_schema, revision_schema
from palmette.records import DesignerConfig

MOTIVATION = 600  # characters that are kept
SHORT_MOTIVATION = 240  # that a small model may write
THINKING_TOKENS = 256  # at most, of a free thought
THOUGHT = 800  # characters of it that are kept and shown again
NOTES_TOKENS = 300  # about, of a reviewer's remarks
DEPTH = 3  # of the new nodes that a schema offers

SYSTEM = """\
You design neural architectures by editing a genome: an expression of a small typed language from \
which a model is built, trained for a short while and scored between 0 (chance) and 1. Parameters \
and training are the same for all genomes, so only the architecture counts. Propose one edit that \
could raise the score."""
TASK = """\
Answer with one JSON object:
{"motivation": why this edit may help, in one or two sentences,
 "edit": one of
  {"move": "replace", "at": "p3", "new": NODE}
  {"move": "insert", "at": "p3", "side": "before" or "after", "new": NODE}
  {"move": "prune", "at": "p3"}
  {"move": "tune", "at": "p3", "knob": NAME, "value": VALUE}
  {"move": "rewrite", "new": NODE, the whole genome},
 "change": the change of the score that you expect, such as 0.01,
 "give_or_take": how far off that may be, such as 0.02}
A NODE is {"node": NAME, field: ...} or a string in the language."""
THINK = """\
In a few plain sentences: what may limit this genome, and which one edit would you try? No JSON \
yet."""
REASONS = {
    "known": "this genome was tried already; propose another edit",
    "twin": "this computes the same as a genome that was tried; propose another edit",
    "does not fit": "this genome cannot be built with as many parameters as all others have; "
    "propose a smaller edit",
    "mixes no tokens": "no part of this genome lets a position see others; propose one that does",
    "too costly": "this genome needs too many operations for each token; propose a cheaper edit",
    "not finite": "the outputs of this genome are not finite; propose another edit",
}


class Idea(BaseModel):
    """What a researcher answers. The change is that of the first-rung score against the parent."""

    model_config = ConfigDict(frozen=True)

    motivation: str
    edit: dict[str, Any]
    change: float = Field(allow_inf_nan=False)
    give_or_take: float = Field(allow_inf_nan=False)


@dataclass(frozen=True)
class Draft:
    """An idea that is legal: what it makes, and what its author expects.

    `change` lies between `low` and `high`, all within [-1, 1], as scores lie within [0, 1].
    """

    genome: Genome
    edited: Edited
    motivation: str
    change: float
    low: float
    high: float
    data: dict[str, Any]


@dataclass(frozen=True)
class Commission:
    """What a researcher works on: the parent, what may be proposed, and what was told of it.

    `menu` is the part of `language` that a schema offers; `reason_against` says why a genome would
    get no trial.
    """

    parent: Node
    language: Language
    told: Told
    shape: Shape
    reason_against: Callable[[Genome], str | None]


def idea_shape(parent: Node, menu: Language, small: bool = False) -> Shape:
    """What an idea has to look like: the legal revisions of `parent` by nodes of `menu`.

    For `small` contexts texts are bounded and knobs may be left out, so that answers stay short;
    otherwise the schema keeps to what strict structured outputs allow, which is neither.
    """
    return _idea_shape(parent, menu, small)


@lru_cache(maxsize=64)
def _idea_shape(parent: Node, menu: Language, small: bool) -> Shape:
    text = {"type": "string", "maxLength": SHORT_MOTIVATION}
    figure = {"type": "number"}
    edit = revision_schema(parent, menu, DEPTH, every=not small)
    schema = answer_schema(
        motivation=text if small else {"type": "string"},
        edit=edit,
        change=figure,
        give_or_take=figure,
    )
    return Shape("idea", schema, json_gbnf(schema))


def scene_tokens(config: DesignerConfig) -> int:
    """How many tokens a scene may have, so that the rest of a researcher's prompt fits in."""
    later = (config.steps > 2) * tokens(" " * THOUGHT) + (config.steps > 3) * NOTES_TOKENS
    return prompt_tokens(config) - tokens(SYSTEM, TASK) - later


def think(session: Session, commission: Commission) -> str:
    """A free thought before the proposal, as one plain line; empty if nothing was said.

    Raises `StepError` if no answer comes.
    """
    return session.ask(
        "researcher",
        _messages(commission, THINK),
        _spoken,
        cards=commission.told.card_names,
        genomes=commission.told.hashes,
        content=lambda said: {"thought": said},
        most_tokens=THINKING_TOKENS,
    )


def research(
    session: Session, commission: Commission, thought: str = "", notes: Sequence[str] = ()
) -> Draft:
    """The idea of a model. `thought` is its own, `notes` what a reviewer said of its last idea.

    Raises `StepError` if no legal idea comes.
    """
    parts = [f"You thought:\n| {thought}"] if thought else []
    parts += list(notes)
    return session.ask(
        "researcher",
        _messages(commission, *parts, TASK),
        lambda text: read_idea(text, commission),
        commission.shape,
        cards=commission.told.card_names,
        genomes=commission.told.hashes,
        content=lambda draft: _content(draft, attributed(draft, commission)),
        origin=lambda draft: attributed(draft, commission).origin,
    )


def attributed(draft: Draft, commission: Commission) -> Attribution:
    """Where an idea comes from, by what its author was shown."""
    told = commission.told
    genomes = [genome.root for genome in told.genomes]
    child = draft.genome.root
    return attribute(child, commission.parent, told.cards, genomes, commission.language)


def read_idea(text: str, commission: Commission) -> Draft:
    """The idea in an answer.

    A `give_or_take` below zero is taken without its sign, and figures outside [-1, 1] are drawn to
    its ends, so that whatever a server holds to the schema is an idea.

    Raises `UnreadableError` with everything that is wrong: the form first; if that is right, the
    grammar's faults; if there are none, why the genome would get no trial.
    """
    idea = read_as(Idea, text)
    try:
        edited = revise(commission.parent, idea.edit, commission.language)
    except GenomeError as error:
        faults = [fault.message.replace("$", "$.edit", 1) for fault in error.faults]
        raise UnreadableError(faults) from error
    genome = Genome(edited.node)
    if reason := commission.reason_against(genome):
        raise UnreadableError([f"$.edit: {REASONS.get(reason, f'no trial: {reason}')}"])
    change, half = _bounded(idea.change), abs(_bounded(idea.give_or_take))
    return Draft(
        genome=genome,
        edited=edited,
        motivation=motivation_of(idea.motivation, edited.text),
        change=change,
        low=_bounded(change - half),
        high=_bounded(change + half),
        data=idea.edit,
    )


def motivation_of(said: str, edit: str) -> str:
    """A motivation as it is kept: one plain paragraph. One that says next to nothing is told so."""
    line = one_line(said, MOTIVATION)
    return line if len(line) > 20 else one_line(f"{line or 'no reason given'} ({edit})", MOTIVATION)


def _messages(commission: Commission, *parts: str) -> tuple[Message, Message]:
    facts = "\n\n".join([commission.told.facts, *parts])
    return (
        Message("system", f"{SYSTEM}\n\n{commission.told.stable}"),
        Message("user", facts),
    )


def _content(draft: Draft, attribution: Attribution) -> dict[str, object]:
    return {
        "motivation": draft.motivation,
        "edit": draft.edited.text,
        "revision": draft.data,
        "genome": draft.genome.hash,
        "expression": draft.genome.text,
        "change": draft.change,
        "low": draft.low,
        "high": draft.high,
        "new": attribution.content(),
    }


def _spoken(text: str) -> str:
    return one_line(text, THOUGHT)


def _bounded(value: float) -> float:
    return max(-1.0, min(1.0, value))
