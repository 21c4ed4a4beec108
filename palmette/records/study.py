"""A study of designers: arms that differ in who proposes, and what each gained and cost."""

from __future__ import annotations

from palmette.records._base import Finite, Record


class Span(Record):
    """A value with its 95 % interval."""

    value: Finite
    low: Finite
    high: Finite


class StudyPoint(Record):
    """The best of an arm's first so many genomes, minus the root.

    The mean of all seeds, with Student's interval if there are several. `best` is None as long as
    every trial has failed.
    """

    genomes: int
    best: Finite | None
    span: Span | None


class StudyArm(Record):
    """One arm. What cannot be told yet, or never of this arm, is None."""

    arm: str
    proposer: str
    knowledge: bool | None  # None of a proposer that does not think
    feedback: bool | None
    campaigns: tuple[str, ...]  # one a seed
    genomes: int  # whose first rung has ended
    failed: int  # of them, every trial failed
    declined: int  # proposals that came to no genome
    valid: Span | None  # the share of proposals that became genomes
    gain: Span | None  # mean of child minus parent at the first rung
    against: Span | None  # that minus the reference's
    per_1000_tokens: Span | None  # what was gained more than by the reference, over all tokens
    per_usd: Span | None
    best: Finite | None  # of the first `compared` genomes, minus the root; mean over seeds
    best_span: Span | None  # over seeds
    course: tuple[StudyPoint, ...]  # after 1, 2, … genomes, as long as all its seeds go
    hits: Span | None  # share of predicted intervals that held the measured change
    agreement: Span | None  # rank correlation of the reviewers' ratings with the gains
    tokens: int
    usd: Finite | None
    endpoint_seconds: Finite


class Study(Record):
    """All arms, from the store alone.

    `noise` is the deviation between the seeds of one genome at the first rung, `noise_best` what
    the best of `compared` genomes that equal the root would seem to gain, and `luck` what the best
    of 1, 2, … would, both as means over the seeds; empty where no placebo has a score.
    """

    study: str
    root: str
    scale: str
    suite: str
    models: tuple[str, ...]
    seeds: tuple[int, ...]
    wanted: int  # genomes of each arm and seed
    compared: int  # genomes that every arm and seed has that has any
    reference: str | None
    noise: Finite | None
    noise_best: Span | None
    luck: tuple[Span, ...]
    arms: tuple[StudyArm, ...]
