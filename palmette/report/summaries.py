"""What a report counts and compares: rungs, edits, predictions, ancestry, failures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from palmette.ladder.statistics import mean_interval
from palmette.records import Prediction, StoredTrial, TreeRow


@dataclass(frozen=True)
class RungSummary:
    """One rung of the ladder as it was run; `seconds` is the median training run's wall time."""

    name: str
    parameters: int
    tokens: int
    length: int
    batch_size: int
    genomes: int
    trials: int
    done: int
    failed: int
    seeds: tuple[int, ...]
    rates: tuple[float, ...]
    seconds: float | None


@dataclass(frozen=True)
class Outcome:
    """What an edit was predicted to do to its parent's first-rung score, and what it did."""

    row: TreeRow
    change: float
    prediction: Prediction | None

    @property
    def held(self) -> bool | None:
        """Whether the prediction's interval held the change; None without a prediction."""
        if self.prediction is None:
            return None
        return self.prediction.low <= self.change <= self.prediction.high


@dataclass(frozen=True)
class EditSummary:
    """All edits of one kind. `mean` is the mean change of the first-rung score, with a 95 %
    interval by Student's t; a single measured edit has a mean and no interval."""

    edit: str
    count: int
    failed: int
    improved: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Step:
    """One ancestor on the way from the root, with the change against the one before it."""

    row: TreeRow
    change: float | None


def rungs(trials: Iterable[StoredTrial]) -> tuple[RungSummary, ...]:
    """The rungs that trials ran at, smallest first (parameters times tokens)."""
    by_name: dict[str, list[StoredTrial]] = defaultdict(list)
    for trial in trials:
        by_name[trial.spec.rung].append(trial)
    found = [_rung(name, held) for name, held in by_name.items()]
    return tuple(sorted(found, key=lambda rung: (rung.parameters * rung.tokens, rung.name)))


def outcomes(tree: Sequence[TreeRow]) -> tuple[Outcome, ...]:
    """Every edit whose child and (first) parent both have a first-rung score."""
    scores = {row.genome: row.score for row in tree if row.replica == 0}
    found = []
    for row in tree:
        before = scores.get(row.parents[0]) if row.parents else None
        if before is not None and row.score is not None:
            found.append(Outcome(row, row.score - before, row.prediction))
    return tuple(found)


def failed(trials: Iterable[StoredTrial]) -> frozenset[tuple[str, int]]:
    """The (genome, replica) pairs of which every trial ended and none finished."""
    states: dict[tuple[str, int], set[str]] = defaultdict(set)
    for trial in trials:
        states[trial.spec.genome, trial.spec.replica].add(trial.state)
    return frozenset(key for key, seen in states.items() if seen == {"failed"})


def edits(
    tree: Sequence[TreeRow], failed: frozenset[tuple[str, int]] = frozenset()
) -> tuple[EditSummary, ...]:
    """A summary for each kind of edit, the most used first."""
    held: dict[str, list[TreeRow]] = defaultdict(list)
    for row in tree:
        if row.edit:
            held[row.edit].append(row)
    changes: dict[str, list[float]] = defaultdict(list)
    for outcome in outcomes(tree):
        if outcome.row.edit:
            changes[outcome.row.edit].append(outcome.change)
    return tuple(
        _edit(
            kind,
            len(rows),
            sum((row.genome, row.replica) in failed for row in rows),
            changes[kind],
        )
        for kind, rows in sorted(held.items(), key=lambda item: (-len(item[1]), item[0]))
    )


def ancestry(tree: Sequence[TreeRow], genome: str) -> tuple[Step, ...]:
    """The chain of first parents from the root to a genome, the root first.

    >>> ancestry([], "abc")
    ()
    """
    by_hash = {row.genome: row for row in tree if row.replica == 0}
    chain: list[TreeRow] = []
    at = by_hash.get(genome)
    while at is not None and at not in chain:
        chain.append(at)
        at = by_hash.get(at.parents[0]) if at.parents else None
    chain.reverse()
    return tuple(
        Step(row, _difference(row.score, before.score if before else None))
        for before, row in zip([None, *chain], chain, strict=False)
    )


def failures(trials: Iterable[StoredTrial]) -> tuple[tuple[str, int, tuple[StoredTrial, ...]], ...]:
    """Failed trials by reason with their number, the most frequent reason first."""
    by_reason: dict[str, list[StoredTrial]] = defaultdict(list)
    for trial in trials:
        if trial.state == "failed":
            by_reason[trial.reason or "no reason was recorded"].append(trial)
    ordered = sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple((reason, len(held), tuple(held)) for reason, held in ordered)


def lost_attempts(trials: Iterable[StoredTrial]) -> int:
    """Attempts that ended without a result and were tried again."""
    return sum(max(0, trial.attempts - 1) for trial in trials)


def worker_seconds(trials: Iterable[StoredTrial]) -> float:
    """The wall time of all finished trials, added up over the workers."""
    return math.fsum(trial.result.wall_seconds for trial in trials if trial.result)


def machines(trials: Iterable[StoredTrial]) -> tuple[str, ...]:
    """The machines that trials ran on, in alphabetical order."""
    return tuple(sorted({trial.result.machine for trial in trials if trial.result}))


def _rung(name: str, held: Sequence[StoredTrial]) -> RungSummary:
    spec = held[0].spec
    seconds = [trial.result.wall_seconds for trial in held if trial.result]
    return RungSummary(
        name=name,
        parameters=spec.parameters,
        tokens=spec.tokens,
        length=spec.length,
        batch_size=spec.batch_size,
        genomes=len({(trial.spec.genome, trial.spec.replica) for trial in held}),
        trials=len(held),
        done=sum(trial.state == "done" for trial in held),
        failed=sum(trial.state == "failed" for trial in held),
        seeds=tuple(sorted({trial.spec.seed for trial in held})),
        rates=tuple(sorted({trial.spec.learning_rate for trial in held})),
        seconds=median(seconds) if seconds else None,
    )


def _edit(kind: str, count: int, failed: int, changes: Sequence[float]) -> EditSummary:
    interval = mean_interval(changes)
    return EditSummary(
        edit=kind,
        count=count,
        failed=failed,
        improved=sum(change > 0 for change in changes),
        mean=fmean(changes) if changes else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
    )


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before
