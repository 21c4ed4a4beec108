"""The story of a genome: every step from the root, why it was taken and what came of it."""

from __future__ import annotations

from palmette.records._base import Finite, Record
from palmette.records.campaign import Prediction, Role
from palmette.records.thought import Origin, Thought
from palmette.records.trial import TrialState


class TraceRung(Record):
    """What a candidate's trials measured at one rung."""

    rung: str
    trials: tuple[int, ...]  # numbers, in the order in which they were queued
    states: dict[TrialState, int]  # of them
    learning_rate: float | None  # the one that was chosen; None without a score, as all below
    score: float | None  # mean over seeds, as measured
    seeds: int | None
    estimate: float | None  # of a found genome shrunken for selection; None without an interval
    low: float | None  # of the estimate, 95 %; None where no repeated seeds tell the noise
    high: float | None
    reasons: tuple[str, ...] = ()  # why trials failed


class TraceStep(Record):
    """A genome on the way, and the edit that led to it from the one before.

    Tokens, dollars and seconds are None where no model was asked, dollars where no price is known.
    """

    genome: str
    expression: str
    role: Role
    name: str | None
    parents: tuple[str, ...]
    proposal: int | None
    proposer: str | None
    edit: str | None
    edit_text: str | None
    motivation: str | None
    prediction: Prediction | None
    change: float | None  # of the first-rung score against the first parent's
    held: bool | None  # whether the prediction's interval holds the change
    rungs: tuple[TraceRung, ...]
    origin: Origin | None
    models: tuple[str, ...]
    cards: tuple[str, ...]  # in the contexts of all thoughts
    context: tuple[str, ...]  # hashes of the genomes there
    rating: Finite | None  # the reviewer's, of this very genome
    remarks: tuple[str, ...]  # the reviewer's
    lesson: str | None  # the analyst's
    tokens_in: int | None
    tokens_out: int | None
    usd: Finite | None
    seconds: Finite | None  # of the endpoint
    thoughts: tuple[Thought, ...]
    lost: tuple[int, ...]  # places of thoughts, from 0, whose session was interrupted: all was paid


class TraceRow(Record):
    """`trace`: the steps from the root to a genome, along first parents.

    `prompts` are the texts that the thoughts name by their hashes; None unless they were asked for.
    """

    campaign: str
    genome: str
    expression: str
    name: str | None
    steps: tuple[TraceStep, ...]
    prompts: dict[str, str] | None
