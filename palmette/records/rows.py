"""What the commands print."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from palmette.records._base import Finite, Record
from palmette.records.campaign import CampaignState, Prediction, Role
from palmette.records.exam import League, Rate
from palmette.records.stranger import GateResult
from palmette.records.trial import TaskMetrics, TrialState


class TrialRow(Record):
    """`trials`."""

    trial: int
    genome: str
    rung: str
    suite: str
    seed: int
    replica: int
    learning_rate: float
    state: TrialState
    reason: str | None
    attempts: int
    metrics: dict[str, TaskMetrics] | None
    score: float | None
    parameters: int | None
    flops_forward: float | None
    state_bytes: int | None
    cpu_seconds: float | None


class BestRow(Record):
    """`best`: shrunken estimates with 95 % intervals, ranked."""

    genome: str
    expression: str
    name: str | None
    score: float
    low: float | None  # None where no repeated seeds tell the noise
    high: float | None
    raw_score: float
    bits_per_byte: float | None
    seeds: int
    rung: str
    role: Role
    parameters: int | None
    flops_forward: float | None
    state_bytes: int | None


class TreeRow(Record):
    """`tree`: one row a candidate."""

    genome: str
    expression: str
    replica: int
    role: Role
    name: str | None
    parents: tuple[str, ...]
    edit: str | None
    edit_text: str | None
    proposer: str | None
    motivation: str | None
    prediction: Prediction | None
    score: float | None  # at the first rung, best learning rate
    rung: str | None  # the highest that it finished


class StatusRow(Record):
    """`status`."""

    campaign: str
    state: CampaignState
    genomes: int
    trials: dict[TrialState, int]
    placebos: int
    elapsed_seconds: float
    budget: str
    best: str | None
    best_score: float | None
    kernels: str = "torch"  # how its trials are trained, in a few words
    model_tokens: int | None = None  # in prompts and answers; None if no model was asked
    model_usd: float | None = None  # of the calls whose price is known
    draw: str | None = None  # what was told of the newest secret: its SHA-256
    exams: int | None = None  # of its genomes, finished or not; None where nobody looked
    verified: int | None = None  # hypotheses
    placebo_rate: Rate | None = None  # of placebos on the last rung, those above the root


class CompareRow(Record):
    """`compare`: one genome against the first, or against another that `against` names.

    `told` is what the interval of the difference says by itself, `carries` whether the advantage
    holds from the lowest rung to this one, which is the last; `correlation` is Pearson's over the
    seeds that both share.
    """

    genome: str
    expression: str
    name: str | None
    score: float
    low: float | None  # None for a single seed
    high: float | None
    difference: float | None  # to the first genome
    difference_low: float | None
    difference_high: float | None
    seeds: int
    learning_rate: float
    parameters: int
    flops_forward: float
    state_bytes: int
    rung: str | None = None  # of the scale
    against: str | None = None  # whom the difference is to; None for the reference itself
    league: League | None = None  # constant-state if its state does not grow with the text
    flops_train: float | None = None  # of one trial
    matched: str | None = None  # "yes", or what is not equal to the reference's
    told: Literal["better", "worse", "the same", "not told"] | None = None
    carries: Literal["carries", "does not carry", "not told"] | None = None
    paired: bool | None = None  # whether the difference is seed by seed
    correlation: float | None = None


class AtlasRow(Record):
    """`list atlas`."""

    name: str
    summary: str
    genome: str
    hash: str


class PrimitiveRow(Record):
    """`list primitives`."""

    name: str
    summary: str
    sort: str
    role: str
    signature: str


class TaskRow(Record):
    """`list tasks`. What chance is at a sealed task depends on what an exam draws."""

    name: str
    summary: str
    sealed: bool
    chance_bits: float | None = None


class ProposerRow(Record):
    """`list proposers`."""

    name: str
    summary: str


class GateRow(Record):
    """`list gates`."""

    name: str
    summary: str


class CheckRow(Record):
    """`check`: passed if no gate failed."""

    passed: bool
    gates: tuple[GateResult, ...]
    genome: str | None = None  # hash
    expression: str | None = None
    file: str | None = None  # a stranger's, with its class
    protection: str | None = None  # what a stranger's file was kept from while it ran
    seconds: float


class SampleRow(Record):
    """`sample`."""

    genome: str
    expression: str


class PartRow(Record):
    """Parameters of a part of a model, all of its copies together."""

    part: str
    parameters: int


class LineageRow(Record):
    """One step from the root to a genome: what was done to get there and how it scored."""

    genome: str
    expression: str
    name: str | None
    edit_text: str | None
    score: float | None  # at the first rung


class DecodePoint(Record):
    """What decoding costs at a context length, in closed form."""

    length: int  # tokens
    state_bytes: int
    flops_token: Finite  # of one token at that position


class ShowRow(Record):
    """`show`: a genome at a size. `state_bytes` is by length, in closed form.

    `decode` is the same with FLOPs and more lengths; `against` holds the curves of the genomes that
    it was asked to be drawn beside, at the same number of parameters.
    """

    genome: str
    expression: str
    name: str | None
    diagram: str
    parameters: int
    fits: bool  # within 2 % of the size that was asked for
    bound: str | None = None  # what keeps it from that size
    width: int
    depth: int
    vocabulary: int
    parts: tuple[PartRow, ...]
    flops_forward: float  # per token at `length`
    length: int
    state_bytes: dict[int, int]
    decode: tuple[DecodePoint, ...]
    against: dict[str, tuple[DecodePoint, ...]] = Field(default_factory=dict)
    active: int  # parameters that one token uses
    lineage: tuple[LineageRow, ...]  # from the root; empty for a genome that no campaign holds


class FileRow(Record):
    """`report`, `export`: a file that was written."""

    file: str
    what: str


class DoctorRow(Record):
    """`doctor`: one thing that was looked at. `grow` runs if nothing is `broken`."""

    check: str
    state: Literal["fine", "missing", "broken"]  # `missing` does not keep `grow` from running
    detail: str
