"""The reviewer: is an idea new, and is it sound? It may ask for another draft, and no more.

It is shown what is nearest to the idea among all that was tried, by the tree edit distance of the
genomes; that is computed here and asked of nobody. Its rating is kept beside what is measured
later. No decision of a campaign reads it, so a model that is talked into a rating changes no score.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from palmette.designer.endpoint import Message, Shape, tokens
from palmette.designer.origin import features
from palmette.designer.plain import one_line
from palmette.designer.reading import read_as
from palmette.designer.roles.researcher import Draft
from palmette.designer.scene import QUOTATIONS, Shown, figures, quoted
from palmette.designer.session import Session, prompt_tokens
from palmette.grammar.distance import distance
from palmette.grammar.genome import Genome

NEAREST = 3  # genomes that the reviewer is shown
LOOKED_AT = 8  # genomes whose distance is computed: those that share most features
REMARKS = 4  # that are kept of a review
REMARK = 300  # characters of each
SHOWN = 200  # characters of each that the idea's author is shown
REVIEW_TOKENS = 384

SYSTEM = """\
You review an edit of a neural architecture before it is trained. Judge novelty (is it more than a \
repetition of what was tried?) and soundness (is there a reason why it could help?). You see \
what is nearest to it among all that was tried."""
TASK = """\
Answer with one JSON object:
{"remarks": up to four sentences on what is weak or missing,
 "rating": 1 (pointless) to 5 (new and sound),
 "verdict": "accept", or "revise" if another edit of the same genome should be tried instead}"""
SHAPE = Shape(
    "review",
    {
        "type": "object",
        "properties": {
            "remarks": {
                "type": "array",
                "items": {"type": "string", "maxLength": REMARK},
                "maxItems": REMARKS,
            },
            "rating": {"enum": [1, 2, 3, 4, 5]},
            "verdict": {"enum": ["accept", "revise"]},
        },
        "required": ["remarks", "rating", "verdict"],
        "additionalProperties": False,
    },
)


class Review(BaseModel):
    """What a reviewer answers."""

    model_config = ConfigDict(frozen=True)

    remarks: tuple[str, ...] | str = ()
    rating: int = Field(ge=1, le=5)
    verdict: Literal["accept", "revise"]

    @property
    def told(self) -> tuple[str, ...]:
        """The remarks as plain lines."""
        listed = (self.remarks,) if isinstance(self.remarks, str) else self.remarks
        lines = (one_line(remark, REMARK) for remark in listed[:REMARKS])
        return tuple(line for line in lines if line)

    def notes(self, draft: Draft) -> tuple[str, ...]:
        """The remarks on a draft, as its author is shown them."""
        listed = [quoted(remark, SHOWN) for remark in self.told[:3]]
        return (f"Your last edit was: {draft.edited.text}\nA reviewer wants another one:", *listed)


@dataclass(frozen=True)
class Neighbour:
    """A genome that was tried, and its tree edit distance from an idea: 0 to 1."""

    shown: Shown
    distance: float


def review(
    session: Session,
    draft: Draft,
    parent: Shown,
    tried: Sequence[Shown],
    feedback: bool = True,
) -> Review:
    """What a model thinks of an idea. Without `feedback` it is told no score.

    Raises `StepError` if it says nothing that can be read.
    """
    lines = [
        QUOTATIONS,
        f"The genome: {parent.genome.text}",
        f"The edit: {draft.edited.text}",
        f"What it makes: {draft.genome.text}",
        quoted(f"because: {draft.motivation}", REMARK),
        "Nearest to it among all that was tried:",
        TASK,
    ]
    near: list[Neighbour] = []
    left = prompt_tokens(session.studio.config) - tokens(SYSTEM, *lines)
    for one in nearest(draft.genome, tried):
        told = _neighbour(one, feedback)
        left -= tokens(told) + 1
        if left < 0:
            break
        near.append(one)
        lines.insert(-1, told)
    return session.ask(
        "reviewer",
        (Message("system", SYSTEM), Message("user", "\n".join(lines))),
        lambda text: read_as(Review, text),
        SHAPE,
        genomes=[parent.genome.hash, *(one.shown.genome.hash for one in near)],
        content=lambda said: {
            "rating": said.rating,
            "verdict": said.verdict,
            "remarks": list(said.told),
            "nearest": {one.shown.genome.hash: round(one.distance, 4) for one in near},
        },
        most_tokens=REVIEW_TOKENS,
    )


def nearest(genome: Genome, tried: Iterable[Shown], most: int = NEAREST) -> list[Neighbour]:
    """The genomes at the least distance from one, the nearest first, itself aside.

    The distance is computed for the few that share most features with it.
    """
    own = features(genome.root)
    others = {shown.genome: shown for shown in tried if shown.genome != genome}.values()
    likely = sorted(others, key=lambda shown: -_overlap(own, features(shown.genome.root)))
    found = [Neighbour(shown, _apart(genome, shown.genome)) for shown in likely[:LOOKED_AT]]
    return sorted(found, key=lambda one: one.distance)[:most]


def _overlap(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / len(one | other)


@lru_cache(maxsize=4096)
def _apart(one: Genome, other: Genome) -> float:
    return distance(one.root, other.root)


def _neighbour(near: Neighbour, feedback: bool) -> str:
    shown = near.shown
    told = [f"distance {near.distance:.2f}"]
    if feedback:
        told.append(figures(Shown(shown.genome, shown.score, shown.change)))
    return f"- {shown.genome.text} ({', '.join(told)})"
