"""The shapes of everything that crosses a floor or is printed as JSON: frozen pydantic models.

Missing is None, never zero. Intervals are 95 %. Units are in the names.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Role = Literal["found", "root", "baseline", "placebo"]
TrialState = Literal["queued", "running", "done", "failed"]
AttemptOutcome = Literal["running", "done", "failed", "lost"]
CampaignState = Literal["running", "stopped", "finished"]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Record(BaseModel):
    """The base of all records."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# --- a trial ---------------------------------------------------------------------------------


class TrialSpec(Record):
    """Everything that decides the numbers of one training run; its digest is the trial's key."""

    genome: str  # hash of the canonical form
    expression: str  # the canonical text
    replica: int = 0  # 0, or the number of a placebo
    rung: str
    rung_digest: str
    parameters: int  # wanted; `fit` comes within 2 %
    tokens: int  # to train on
    batch_size: int
    length: int  # t in training
    evaluation_tokens: int  # per task and split
    evaluated: tuple[str, ...] = ()  # the tasks to evaluate; all of the suite if none of them is
    suite: str
    suite_digest: str  # tasks, weights and the corpus' SHA-256
    seed: int
    learning_rate: Finite
    device: str = "cpu"
    dtype: str = "float32"
    kernel: str = "torch"
    numerics: int

    @property
    def key(self) -> str:
        """SHA-256 over all fields, as hex."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class TaskMetrics(Record):
    """One task's evaluation on one split; every figure is a mean over answer tokens."""

    loss_nats: Finite
    bits: Finite  # loss in bits per answer token; bits per byte for text
    chance_bits: Finite
    accuracy: Finite
    answer_tokens: int
    score: Finite  # bits saved over chance, divided by the task's constant
    by_length: dict[int, Finite] = {}  # accuracy by length, where a task extrapolates


class CurvePoint(Record):
    """Training loss over the batches since the point before."""

    tokens: int
    loss_nats: Finite
    seconds: Finite  # of training so far


class TrialResult(Record):
    """What a finished trial measured."""

    metrics: dict[str, TaskMetrics]  # by task, on the `score` split
    select: dict[str, TaskMetrics]  # by task, on the `select` split (chooses learning rates)
    curve: tuple[CurvePoint, ...]
    parameters: int  # built, all trainable scalars
    parameters_non_embedding: int
    width: int
    depth: int
    fits: bool  # within 2 % of the wanted parameters
    flops_forward: Finite  # per token
    flops_train: Finite  # of the whole trial
    state_bytes: int  # at `length`
    kernel: str  # the form that ran
    cpu_seconds: Finite
    wall_seconds: Finite  # from fork to result
    phases: dict[str, Finite]  # seconds by phase: build, data, forward, backward, optimizer …
    peak_bytes: int
    weights: str | None = None  # file beside the store
    machine: str
    commit: str | None


# --- a candidate and how it came about ---------------------------------------------------------


class Prediction(Record):
    """What a proposer expects an edit to do to the parent's first-rung score."""

    change: Finite
    low: Finite
    high: Finite
    observations: int  # how many earlier edits of this kind it rests on


class Candidate(Record):
    """A genome in a campaign, with the edge that led to it. Keyed by (genome, replica)."""

    genome: str
    expression: str
    replica: int = 0
    role: Role
    name: str | None = None  # atlas name, or a placebo's made-up name
    proposal: int | None = None  # i, in proposal order; None for root and baselines
    proposer: str | None = None
    island: int | None = None
    parents: tuple[str, ...] = ()  # hashes; two after a graft
    edit: str | None = None  # kind: replace, insert, prune, graft, tune …
    edit_text: str | None = None  # what changed, for people
    motivation: str | None = None
    prediction: Prediction | None = None
    parameters: int | None = None  # at the first rung
    flops_forward: float | None = None
    state_bytes: int | None = None
    fingerprint: tuple[float, ...] | None = None  # outputs on a fixed input, weights seeded by path


class StoredTrial(Record):
    """A trial as the store holds it."""

    trial: int
    key: str
    spec: TrialSpec
    state: TrialState
    reason: str | None = None
    attempts: int = 0
    result: TrialResult | None = None
    started_seconds: float | None = None  # campaign time at which the last attempt began
    ended_seconds: float | None = None


class Attempt(Record):
    """One time that a trial was begun. A lost attempt is the worker's fault, not the genome's."""

    attempt: int  # from 1
    outcome: AttemptOutcome
    reason: str | None = None
    started_seconds: float  # campaign time
    ended_seconds: float | None = None


class Event(Record):
    """Something that happened: a campaign started, a worker was lost, a proposal was a twin …"""

    seconds: Finite  # campaign time
    kind: str
    detail: dict[str, Any] = {}


class CampaignConfig(Record):
    """What a campaign is; under the same name none of it may change, only the budget grows."""

    name: str
    scale: str
    scale_digest: str  # of the rungs
    root: str  # canonical expression
    root_name: str | None
    suite: str
    suite_digest: str
    corpus: str  # where the text came from
    seed: int
    proposers: tuple[str, ...]
    numerics: int
    kind: Literal["grow", "compare"] = "grow"


# --- gates and a stranger's file --------------------------------------------------------------


class GateResult(Record):
    """What one gate says about one model. `passed` is None where the gate does not apply."""

    gate: str
    passed: bool | None
    detail: str  # what was measured, what is wrong, or why the gate does not apply


Setting = bool | int | float | str | None


class Counted(Record):
    """A quantity that was counted on a grid of sizes, and the polynomial through it.

    `axes` holds the sizes of each direction, `values` one number for each point of the grid, the
    last direction running fastest. With n sizes in a direction the polynomial is of degree n - 1.
    """

    axes: tuple[tuple[int, ...], ...]
    values: tuple[float, ...]


class Stranger(Record):
    """A class from a user's file, as the language speaks of it.

    Arguments are plain values (`settings`) or depend on the model's size (`sizes`: `width`,
    `width/4`, `4*width`, `depth`, `vocabulary`, `context`). `config` names an argument that takes
    an object made of settings and sizes in turn, of the file's class `config_cls` or, if that is
    None, of any class.
    """

    name: str  # of its node: the file's stem and a digest
    file: str  # the file's own name
    cls: str
    summary: str
    source: str  # the file's text
    takes: Literal["features", "ids"]
    given: dict[str, Setting]  # as --arg said
    settings: dict[str, Setting]
    sizes: dict[str, str]
    config: str | None
    config_cls: str | None
    config_settings: dict[str, Setting]
    config_sizes: dict[str, str]
    multiple: int  # of which widths are multiples
    least: int
    only: tuple[int, ...]  # or the only widths at which it can be built
    vocabulary: int
    parameters: Counted  # by width, depth and context
    flops_forward: Counted  # per token, by width, depth and length
    gates: tuple[GateResult, ...] = ()
    protection: str = ""  # what it was kept from while it was looked at


# --- what the commands print --------------------------------------------------------------------


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


class CompareRow(Record):
    """`compare`: one genome against the first, paired by seed."""

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
    """`list tasks`."""

    name: str
    summary: str
    sealed: bool
    chance_bits: float


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
    against: dict[str, tuple[DecodePoint, ...]] = {}
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
