"""The steps of designers: what a model was shown, what it said, what came of it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from palmette.records._base import Finite, Record

ThoughtOutcome = Literal["fine", "invalid", "refused", "failed"]
Origin = Literal["knowledge", "experience", "original"]


class Thought(Record):
    """One step of a designer in one proposal: a question to a model, or a check that was executed.

    fine     the answer was understood and is legal
    invalid  it was not, for the reasons in `faults`; the next step tries to repair it
    refused  the model declined to answer
    failed   no answer came: the endpoint, its time or the budget
    """

    proposal: int  # i, as in `Candidate.proposal`; no two proposals share one
    proposer: str
    role: str  # researcher, reviewer, engineer, analyst; or check, which asks no model
    attempt: int = 1  # of this step, counting repairs
    model: str | None = None
    form: str | None = None  # how the answer was held to the language: schema, grammar, text
    prompt: str | None = None  # SHA-256 of the messages; the store keeps their text once
    cards: tuple[str, ...] = ()  # names of knowledge and lesson cards in the context
    genomes: tuple[str, ...] = ()  # hashes of the parent, ancestors and siblings in the context
    answer: str | None = None  # as it came, its beginning if it was too long
    content: dict[str, Any] = Field(default_factory=dict)  # what was understood of it
    outcome: ThoughtOutcome
    faults: tuple[str, ...] = ()
    origin: Origin | None = None  # of the idea, by what was in the context
    tokens_in: int = 0
    tokens_out: int = 0
    usd: Finite | None = None  # None where no price is known
    seconds: Finite = 0.0  # of the endpoint


class DesignerConfig(Record):
    """How language models design in a campaign.

    `steps` of a proposal: 1 proposes; 2 retrieves knowledge first; 3 thinks first, too; each
    further one is a round of review and revision.
    """

    models: tuple[str, ...]
    knowledge: bool = True  # cards and lessons are retrieved into the prompts
    feedback: bool = True  # scores, siblings and lessons are told
    steps: int = 4
    retries: int = 3  # of an answer that is not legal
    allow_code: bool = False  # new primitives from code
    context_tokens: int = 8192  # of a prompt and its answer together
    answer_tokens: int = 1024
    temperature: Finite = 0.8
    embedding_model: str | None = None
