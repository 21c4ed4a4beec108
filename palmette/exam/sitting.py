"""The sitting: which trials an exam runs next, a function of its plan and of what has ended.

At every rung an entry gets the sweep on one seed, then fresh seeds at the rate that was best on
`select`. Below the last rung candidates and baselines sit, for the carry. On the last rung the
judge says, look by look, whose seeds are still wanted: nobody is trained on for what is decided,
and tuned baselines sit once there is something to call structural.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from palmette.exam.recipe import ladder_of, stretched
from palmette.exam.results import ENDED, Stand, sat, stands, sweep_seed, verdict_seed
from palmette.ladder.results import Ascent, Setting, trial_spec
from palmette.records import (
    CampaignConfig,
    Candidate,
    Entry,
    ExamPlan,
    Role,
    Sat,
    StoredTrial,
    Stranger,
    TrialSpec,
    Verdict,
)
from palmette.search.book import Book
from palmette.search.packing import companions
from palmette.store import Campaign

ROLES: dict[str, Role] = {
    "candidate": "found",
    "baseline": "baseline",
    "tuned": "baseline",
    "placebo": "placebo",
}
CARRIED = ("candidate", "baseline")
"""Who sits below the last rung: nothing is read from others there."""


class Ruling(Protocol):
    """What a judge says of an exam so far."""

    @property
    def verdicts(self) -> Sequence[Verdict]:
        """One for each hypothesis."""
        ...

    @property
    def placebos(self) -> Sequence[Verdict]:
        """Those of placebos, as if they were candidates."""
        ...

    @property
    def wanted(self) -> Mapping[str, int]:
        """By label, how many seeds of the last rung an entry needs, of those that have fewer."""
        ...


Judges = Callable[[ExamPlan, Sequence[Sat]], Ruling]


def setting_of(plan: ExamPlan) -> Setting:
    """What all trials of an exam share."""
    return Setting(
        scale=ladder_of(plan),
        suite=plan.suite,
        suite_digest=plan.suite_digest,
        seed=plan.seed,
        numerics=plan.numerics,
        kernel=plan.kernel,
    )


def wanted(plan: ExamPlan, trials: Iterable[StoredTrial], judged: Ruling) -> list[TrialSpec]:
    """The trials that the exam still wants to be given, as far as they can be told by now.

    `judged` is what the judge says of these trials. Two entries that are one genome on equal tokens
    share their trials.
    """
    setting = setting_of(plan)
    specs: dict[str, TrialSpec] = {}
    for stand in stands(plan, trials):
        rung = stretched(stand.rung, stand.entry.stretch)
        for seed, rate in _missing(plan, stand, _seeds(plan, stand, judged)):
            spec = trial_spec(candidate_of(stand.entry), rung, setting, seed, rate)
            specs[spec.key] = spec
    return list(specs.values())


def _seeds(plan: ExamPlan, stand: Stand, judged: Ruling) -> int:
    """How many seeds an entry is to have at a rung."""
    if stand.rung.name == plan.rungs[-1].name:
        return judged.wanted.get(stand.entry.label, 0)
    return stand.rung.seeds if stand.entry.role in CARRIED else 0


def _missing(plan: ExamPlan, stand: Stand, most: int) -> list[tuple[int, float]]:
    """Seeds and rates that an entry lacks at a rung: of its sweep, or of its first `most` seeds."""
    if not most:
        return []
    if not stand.over:
        seed = sweep_seed(plan, stand.rung.name)
        tried = {trial.spec.learning_rate for trial in stand.swept}
        return [(seed, rate) for rate in stand.rates if rate not in tried]
    if stand.rate is None or stand.ended(plan)[2]:
        return []
    fresh = [verdict_seed(plan, stand.rung.name, number) for number in range(most)]
    return [(seed, stand.rate) for seed in fresh if seed not in stand.by_seed]


def candidate_of(entry: Entry) -> Candidate:
    """An entry as the store keeps whom a trial belongs to: entries that differ in their tokens or
    in their label alone are one.
    """
    return Candidate(
        genome=entry.genome,
        expression=entry.expression,
        replica=entry.replica,
        role=ROLES[entry.role],
        name=entry.name,
    )


def sitting_config(name: str, plan: ExamPlan, campaign: CampaignConfig) -> CampaignConfig:
    """The campaign of kind `exam` in which an exam's trials are kept."""
    return campaign.model_copy(
        update={
            "name": name,
            "scale_digest": ladder_of(plan).digest,
            "suite": plan.suite,
            "suite_digest": plan.suite_digest,
            "seed": plan.seed,
            "proposers": (),
            "compiled": (),
            "kind": "exam",
            "mix": "turns",
            "designer": None,
        }
    )


def seat(campaign: Campaign, plan: ExamPlan) -> None:
    """Puts the entries into the campaign; doing it again changes nothing."""
    present = {(c.genome, c.replica) for c in campaign.candidates()}
    for entry in plan.entries:
        if (entry.genome, entry.replica) not in present:
            present.add((entry.genome, entry.replica))
            campaign.add_candidate(candidate_of(entry))


class OnPlan:
    """The book's rule while an exam is sat: nothing by itself, and the last rung's weights are
    kept.
    """

    def __init__(self, plan: ExamPlan) -> None:
        last = plan.rungs[-1]
        self._kept = {stretched(last, entry.stretch).name for entry in plan.entries}

    def wants(self, climber: Ascent, climbers: Iterable[Ascent]) -> Sequence[TrialSpec]:
        """Nothing: the sitting says what is wanted."""
        return ()

    def keeps(self, trial: StoredTrial) -> bool:
        """Whether the trained weights are kept."""
        return trial.spec.rung in self._kept


class Sitting:
    """Schedules an exam; what `search.grow.grow` asks.

    `judge` is a pure function of the plan and of what was measured.
    """

    def __init__(self, campaign: Campaign, plan: ExamPlan, judge: Judges) -> None:
        self.plan = plan
        self.book = Book(campaign, setting_of(plan), rule=OnPlan(plan))
        self._judge = judge
        self._told = -1

    def sat(self) -> list[Sat]:
        """What was measured so far."""
        return sat(self.plan, self.book.trials.values())

    def judged(self) -> Ruling:
        """What the judge says by now."""
        return self._judge(self.plan, self.sat())

    def ask(self) -> StoredTrial | None:
        """The next trial, marked as running; None if there is nothing to do just now."""
        self._refill()
        queued = self.book.queued()
        return self.book.start(queued[0]) if queued else None

    def _refill(self) -> None:
        """Queues what is wanted, once nothing is queued and a trial has ended since."""
        if self.book.queued():
            return
        ended = sum(trial.state in ENDED for trial in self.book.trials.values())
        if ended == self._told:
            return
        self._told = ended
        climbers = {(c.candidate.genome, c.candidate.replica): c for c in self.book.climbers}
        by_climber: dict[tuple[str, int], list[TrialSpec]] = {}
        for spec in wanted(self.plan, self.book.trials.values(), self.judged()):
            by_climber.setdefault((spec.genome, spec.replica), []).append(spec)
        for place, specs in by_climber.items():
            self.book.queue(climbers[place], specs)

    def beside(self, trial: StoredTrial) -> list[StoredTrial]:
        """What is trained together with it, marked as running."""
        return [self.book.start(other) for other in companions(self.book, trial)]

    def attend(self, seconds: float = 0.0) -> bool:
        """Nobody thinks: there is nothing to wait for."""
        return False

    def adopted(self) -> list[Stranger]:
        """Nobody invents."""
        return []

    def close(self) -> None:
        """Nobody thinks: there is nothing to keep."""
