"""The analyst: after the trial, what was learned?

What happened is computed here: the change of the score, whether it lies in the interval that was
predicted, the rank among the edits of the same genome. A model adds one lesson, which joins the
knowledge base of the campaign as a card (`designer.lessons`) and is shown to later proposals as a
quotation. It reaches no score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from palmette.designer.endpoint import Message, Shape
from palmette.designer.knowledge import Card
from palmette.designer.lessons import EXPRESSION_CHARACTERS, SECTION_CHARACTERS, lesson
from palmette.designer.reading import read_as
from palmette.designer.scene import MOTIVATION, QUOTATIONS, Shown, figures, quoted
from palmette.designer.session import Session, UnreadableError
from palmette.grammar.language import Language
from palmette.records import Prediction

ANALYSIS_TOKENS = 384

SYSTEM = """\
You look at one measured edit of a neural architecture and write down what was learned, for those \
who design the next one. One short trial is noisy: do not claim more than the figures show."""
TASK = """\
Answer with one JSON object:
{"trigger": the situation in which this lesson applies, in one sentence,
 "insight": what was learned and why it may be so, in one or two sentences,
 "expression": a part of a genome that the lesson is about, such as lin(erase='beta'), or ""}"""
SHAPE = Shape(
    "lesson",
    {
        "type": "object",
        "properties": {
            "trigger": {"type": "string", "maxLength": SECTION_CHARACTERS},
            "insight": {"type": "string", "maxLength": SECTION_CHARACTERS},
            "expression": {"type": "string", "maxLength": EXPRESSION_CHARACTERS},
        },
        "required": ["trigger", "insight", "expression"],
        "additionalProperties": False,
    },
)


class Analysis(BaseModel):
    """What an analyst answers."""

    model_config = ConfigDict(frozen=True)

    trigger: str
    insight: str
    expression: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of an edit, as it was measured.

    change     of the first-rung score against the parent's
    inside     whether it lies in the predicted interval; None if nothing was predicted
    rank       among the measured edits of the same genome, from 1
    siblings   how many of them there are, this one included
    """

    change: float
    inside: bool | None
    rank: int
    siblings: int

    @classmethod
    def of(cls, change: float, prediction: Prediction | None, changes: Sequence[float]) -> Outcome:
        """`changes` are those of all measured edits of the same genome, this one included."""
        inside = None if prediction is None else prediction.low <= change <= prediction.high
        rank = 1 + sum(other > change for other in changes)
        return cls(change, inside, rank, len(changes))

    @property
    def told(self) -> str:
        """The outcome in a sentence.

        >>> Outcome(-0.01, False, 3, 4).told
        'The score changed by -0.0100, outside the predicted interval; rank 3 of 4 edits.'
        """
        where = {None: "", True: ", as predicted", False: ", outside the predicted interval"}
        ranked = f"; rank {self.rank} of {self.siblings} edits" if self.siblings > 1 else ""
        return f"The score changed by {self.change:+.4f}{where[self.inside]}{ranked}."


def analyse(
    session: Session,
    child: Shown,
    parent: Shown,
    outcome: Outcome,
    prediction: Prediction | None,
    language: Language,
) -> Card:
    """The lesson that a model draws from a measured edit, as a card.

    Raises `StepError` if it draws none.
    """
    lines = [
        QUOTATIONS,
        f"Before: {parent.genome.text}",
        figures(parent),
        f"Edit: {child.edit}",
        quoted(f"because: {child.motivation}", 2 * MOTIVATION),
        f"After: {child.genome.text}",
        figures(child),
    ]
    if prediction is not None:
        lines.append(f"Predicted change: {prediction.low:+.4f} to {prediction.high:+.4f}")
    lines += [outcome.told, TASK]
    kept = {"edit": child.edit, "measured": outcome.told}

    def read(text: str) -> tuple[Analysis, Card]:
        said = read_as(Analysis, text)
        card = lesson(
            session.proposal,
            said.trigger,
            said.insight,
            language,
            said.expression,
            child.edit,
            outcome.told,
        )
        if card is None:
            raise UnreadableError(["trigger and insight want a sentence each, got none"])
        return said, card

    _, card = session.ask(
        "analyst",
        (Message("system", SYSTEM), Message("user", "\n".join(lines))),
        read,
        SHAPE,
        genomes=(parent.genome.hash, child.genome.hash),
        content=lambda both: {
            "trigger": both[1].trigger,
            "insight": both[1].insight,
            "expression": both[0].expression[:EXPRESSION_CHARACTERS],
            "change": outcome.change,
            "inside": outcome.inside,
            "rank": outcome.rank,
            "siblings": outcome.siblings,
            **kept,
        },
        most_tokens=ANALYSIS_TOKENS,
    )
    return card
