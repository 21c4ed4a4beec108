"""What a report is made of: records, and the few figures that only a whole campaign can give.

`ReportData` is filled from a store by whoever has one; nothing below this file knows about stores,
torch or the language. All that the page says beyond that is derived here or in `summaries`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from palmette.ladder.statistics import Estimate, Noise, difference
from palmette.records import (
    BestRow,
    CampaignConfig,
    Candidate,
    Event,
    Rate,
    Role,
    StatusRow,
    StoredExam,
    StoredTrial,
    Thought,
    TreeRow,
    Verdict,
)


@dataclass(frozen=True)
class ProgressPoint:
    """The state of the search after some compute, beside what luck alone would have reached.

    `noise_low`, `noise_mid` and `noise_high` are the 2.5 %, 50 % and 97.5 % points of the best of
    `genomes` draws around the root's score with the seed's deviation.
    """

    worker_seconds: float
    genomes: int
    best_so_far: float
    noise_low: float
    noise_mid: float
    noise_high: float


@dataclass(frozen=True)
class Difference:
    """The top candidate's estimate minus a reference's, with a 95 % interval.

    `paired` says whether the interval comes from the same seeds on both sides.
    """

    name: str
    role: Role
    estimate: Estimate
    paired: bool

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of zero."""
        return self.estimate.low > 0 or self.estimate.high < 0


@dataclass(frozen=True)
class ReportData:
    """Everything that one report shows. Lists may be empty; what was not measured is None.

    best               ranked: the highest rung first, and there the best estimate first
    noise              the score's deviation between seeds at the top candidate's rung
    first_noise        the same at the first rung, which changes and progress are measured on
    scores             a trial's score by its number, for finished trials
    thoughts           the designers' steps, in the order in which they ended
    differences        the top candidate against the root and the baselines
    winner_genome      the top candidate's canonical expression
    winner_source      its exported PyTorch
    winner_diagram     its drawing: trusted SVG, made by `palmette.explain.diagram.svg`
    notes              further sentences for "How to read this report"
    exams              of this campaign's genomes, finished or not
    exam_placebos      how many placebos were verified in all exams of the store
    """

    config: CampaignConfig
    status: StatusRow
    best: Sequence[BestRow] = ()
    tree: Sequence[TreeRow] = ()
    trials: Sequence[StoredTrial] = ()
    candidates: Sequence[Candidate] = ()
    events: Sequence[Event] = ()
    thoughts: Sequence[Thought] = ()
    scores: Mapping[int, float] = field(default_factory=dict)
    noise: Noise | None = None
    first_noise: Noise | None = None
    differences: Sequence[Difference] = ()
    progress: Sequence[ProgressPoint] = ()
    winner_genome: str | None = None
    winner_source: str | None = None
    winner_diagram: str | None = None
    notes: Sequence[str] = ()
    exams: Sequence[StoredExam] = ()
    exam_placebos: Rate | None = None

    @property
    def top(self) -> BestRow | None:
        """The found candidate that ranks first."""
        return next((row for row in self.best if row.role == "found"), None)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of all finished exams, the newest first."""
        done = [exam for exam in reversed(self.exams) if exam.state == "finished"]
        return tuple(verdict for exam in done for verdict in exam.verdicts)

    @property
    def best_baseline(self) -> BestRow | None:
        """The human baseline that ranks first."""
        return next((row for row in self.best if row.role == "baseline"), None)


def separate_differences(best: Sequence[BestRow], paired: bool = False) -> tuple[Difference, ...]:
    """The top found candidate against the root and every baseline, from their own intervals.

    Only rows of the top candidate's rung with an interval are compared, and half-widths add in
    quadrature. `paired` says whether the intervals come from noise that leaves out what a seed does
    to all genomes alike, which makes the comparison a paired one.

    >>> separate_differences([])
    ()
    """
    top = next((row for row in best if row.role == "found"), None)
    own = _estimate(top) if top else None
    if top is None or own is None:
        return ()
    return tuple(
        Difference(row.name or row.genome[:8], row.role, difference(own, theirs), paired)
        for row in best
        if row.role in ("root", "baseline")
        and row.rung == top.rung
        and (theirs := _estimate(row)) is not None
    )


def _estimate(row: BestRow) -> Estimate | None:
    if row.low is None or row.high is None:
        return None
    return Estimate(row.score, row.low, row.high)
