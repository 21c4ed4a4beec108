"""A campaign: what it is, its candidates and how they came about, and what happened."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from palmette.records._base import Finite, Record
from palmette.records.thought import DesignerConfig

Role = Literal["found", "root", "baseline", "placebo"]
CampaignState = Literal["running", "stopped", "finished"]
CampaignKind = Literal["grow", "compare", "tune", "exam"]


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


class Event(Record):
    """Something that happened: a campaign started, a worker was lost, a proposal was a twin …"""

    seconds: Finite  # campaign time
    kind: str
    detail: dict[str, Any] = Field(default_factory=dict)


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
    kernel: str = "torch"  # the form that its trials' models compute with
    packed: bool = False  # whether trials of one genome and rung are trained at once
    compiled: tuple[str, ...] = ()  # the rungs whose trials go through torch.compile
    kind: CampaignKind = "grow"
    mix: Literal["turns", "bandit"] = "turns"  # how several proposers share the proposals
    designer: DesignerConfig | None = None  # of the language models among the proposers
