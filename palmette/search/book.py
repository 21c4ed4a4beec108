"""The book of a campaign: the store's candidates and trials in memory, every change written first.

Whoever schedules keeps one. Only it writes to the store while a campaign runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from palmette.ladder.results import Ascent, Setting, ascents, bar_of, wanted_specs
from palmette.records import Candidate, Event, StoredTrial, TrialResult, TrialSpec
from palmette.store import Campaign
from palmette.store.campaign import LOST_WITH_GROW

ATTEMPTS = 3  # of a trial whose worker is lost


class Rule(Protocol):
    """What a candidate is given by itself, and which trials' weights are kept."""

    def wants(self, climber: Ascent, climbers: Iterable[Ascent]) -> Sequence[TrialSpec]:
        """The trials that a candidate of which nothing is pending still wants; `climbers` are all,
        in the order in which they came.
        """
        ...

    def keeps(self, trial: StoredTrial) -> bool:
        """Whether the trained weights are kept."""
        ...


class Climbing:
    """The ladder's rule: whatever its rung still lacks; the last rung's weights."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def wants(self, climber: Ascent, climbers: Iterable[Ascent]) -> Sequence[TrialSpec]:
        """The rest of a sweep, a step past the sweep's edge, or seeds of a higher rung."""
        rung, setting = climber.reached, self._setting
        begun = rung == 0 and len(climber.at(0)) == 1  # else no bar is asked for
        bar = bar_of(climber, climbers, setting.scale) if begun else None
        return wanted_specs(climber, rung, setting, bar)

    def keeps(self, trial: StoredTrial) -> bool:
        """Whether the trained weights are kept."""
        return trial.spec.rung == self._setting.scale.rungs[-1].name


class Book:
    """Candidates and trials of `campaign`; `clock` returns seconds that only grow.

    Whenever a trial ends, the candidate is given what it still wants by the `rule`, which is the
    ladder's unless another is given. So a candidate with nothing pending has completed its rung,
    also after a crash between two writes.
    """

    def __init__(
        self,
        campaign: Campaign,
        setting: Setting,
        clock: Callable[[], float] = time.monotonic,
        rule: Rule | None = None,
    ) -> None:
        self.campaign = campaign
        self.setting = setting
        self.rule: Rule = rule or Climbing(setting)
        self.candidates: list[Candidate] = campaign.candidates()
        self.trials: dict[int, StoredTrial] = {trial.trial: trial for trial in campaign.trials()}
        made = ascents(self.candidates, self.trials.values(), setting.scale)
        self._climbers = {(c.candidate.genome, c.candidate.replica): c for c in made}
        self._clock = clock
        self._began = clock() - campaign.elapsed_seconds
        for climber in made:
            self._top_up(climber)

    @property
    def elapsed(self) -> float:
        """Seconds of campaign time, earlier sessions included."""
        return self._clock() - self._began

    @property
    def climbers(self) -> list[Ascent]:
        """The state of the ladder, in the order of the candidates; it moves on with the book."""
        return list(self._climbers.values())

    def queued(self) -> list[StoredTrial]:
        """Queued trials, the highest rung first, then in the order in which they came."""
        waiting = [trial for trial in self.trials.values() if trial.state == "queued"]
        return sorted(waiting, key=lambda t: (-self.setting.scale.number(t.spec.rung), t.trial))

    def add(
        self, candidate: Candidate, specs: Sequence[TrialSpec], events: Sequence[Event]
    ) -> None:
        """A new candidate with its first trials, in one transaction."""
        queued = self.campaign.propose(candidate, specs, events)
        self.candidates.append(candidate)
        self._climbers[candidate.genome, candidate.replica] = Ascent(candidate)
        for trial in queued:
            self._put(trial)

    def queue(self, climber: Ascent, specs: Sequence[TrialSpec]) -> None:
        """More trials for a candidate that is there, in one transaction."""
        for trial in self.campaign.propose(climber.candidate, specs, ()):
            self._put(trial)

    def start(self, trial: StoredTrial) -> StoredTrial:
        """Marks a queued trial as running."""
        self.campaign.start(trial.trial, self.elapsed)
        return self._change(trial.trial, state="running", attempts=trial.attempts + 1)

    def tell(self, trial: int, result: TrialResult) -> None:
        """A trial has finished."""
        self.campaign.finish(trial, result, self.elapsed)
        self._end(trial, state="done", result=result)

    def failed(self, trial: int, reason: str) -> None:
        """A trial ran and failed for a reason of its own; it is not tried again."""
        self.campaign.fail(trial, reason, self.elapsed)
        self.note("trial failed", trial=trial, reason=reason)
        self._end(trial, state="failed", reason=reason)

    def lost(self, trial: int, reason: str) -> None:
        """A trial's worker died; it is tried up to `ATTEMPTS` times, in which those that ended
        because `grow` did are not counted.
        """
        begun = self.campaign.attempts(trial)
        retry = sum(attempt.reason != LOST_WITH_GROW for attempt in begun) < ATTEMPTS
        self.campaign.lose(trial, reason, self.elapsed, retry=retry)
        self.note("worker lost", trial=trial, reason=reason, retry=retry)
        self._end(trial, state="queued" if retry else "failed", reason=reason)

    def note(self, kind: str, **detail: object) -> None:
        """An event, at the present campaign time."""
        self.campaign.add_event(Event(seconds=self.elapsed, kind=kind, detail=detail))

    def _end(self, trial: int, **changes: object) -> None:
        self._top_up(self._climber(self._change(trial, **changes)))

    def _top_up(self, climber: Ascent) -> None:
        if not climber.pending:
            self.queue(climber, self.rule.wants(climber, self._climbers.values()))

    def _change(self, trial: int, **changes: object) -> StoredTrial:
        return self._put(self.trials[trial].model_copy(update=changes))

    def _put(self, trial: StoredTrial) -> StoredTrial:
        self.trials[trial.trial] = trial
        self._climber(trial).put(trial, self.setting.scale.number(trial.spec.rung))
        return trial

    def _climber(self, trial: StoredTrial) -> Ascent:
        return self._climbers[trial.spec.genome, trial.spec.replica]
