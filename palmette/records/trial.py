"""A trial: what decides its numbers, and what it measured."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import Field

from palmette.records._base import Finite, Record

TrialState = Literal["queued", "running", "done", "failed"]
AttemptOutcome = Literal["running", "done", "failed", "lost"]


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
    by_length: dict[int, Finite] = Field(
        default_factory=dict
    )  # accuracy by length, where a task extrapolates


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
    members: int = 1  # trials that its process trained at once; seconds are this one's share
    cpu_seconds: Finite
    wall_seconds: Finite  # from fork to result
    phases: dict[str, Finite]  # seconds by phase: build, data, forward, backward, optimizer …
    peak_bytes: int
    weights: str | None = None  # file beside the store
    machine: str
    commit: str | None


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
