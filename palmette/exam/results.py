"""What an exam's trials say: each entry's rate, its values by seed, and how far it has come.

The learning rate is chosen at each rung on one seed by the mean score over all tasks of the suite,
on the `select` split, and is then frozen. The figures come from other seeds, which all entries
share: one value a seed, the mean over sealed tasks.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from palmette.exam.recipe import ladder_of, stretched
from palmette.ladder.results import best_rates, sweep_rates
from palmette.ladder.scales import Scale
from palmette.records import Entry, ExamPlan, ExamRung, Sat, StoredTrial, TaskMetrics, TrialResult

TEXT = "text"
ENDED = ("done", "failed")


def endpoint(metrics: Mapping[str, TaskMetrics]) -> float:
    """The mean score over the sealed tasks: all of an exam's suite but its text."""
    scores = [metric.score for task, metric in metrics.items() if task != TEXT]
    assert scores, "an exam's suite has sealed tasks"
    return sum(scores) / len(scores)


def sweep_seed(plan: ExamPlan, rung: str) -> int:
    """The seed on which learning rates are chosen at a rung, for all entries."""
    return _seed(f"exam/{plan.seed}/{rung}/sweep")


def verdict_seed(plan: ExamPlan, rung: str, number: int) -> int:
    """The n-th of the fresh seeds at a rung, counted from 0, for all entries."""
    return _seed(f"exam/{plan.seed}/{rung}/{number}")


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


@dataclass(frozen=True)
class Stand:
    """How far an entry has come at a rung.

    swept       the trials of its sweep
    rates       of the sweep as far as it is known; once all have ended, it may go on
    rate        that was chosen; None before the sweep is over, or if every rate has failed
    over        whether the sweep is over
    by_seed     trials at that rate by seed
    """

    entry: Entry
    rung: ExamRung
    swept: tuple[StoredTrial, ...]
    rates: tuple[float, ...]
    rate: float | None
    over: bool
    by_seed: Mapping[int, StoredTrial]

    def ended(self, plan: ExamPlan) -> tuple[list[int], list[TrialResult], bool]:
        """The first of the planned seeds as far as they have ended, with their results, and
        whether no more will come.
        """
        seeds: list[int] = []
        results: list[TrialResult] = []
        for number in range(self.rung.seeds):
            seed = verdict_seed(plan, self.rung.name, number)
            trial = self.by_seed.get(seed)
            if trial is None or trial.state not in ENDED:
                break
            if trial.state == "failed" or trial.result is None:
                return seeds, results, True
            seeds.append(seed)
            results.append(trial.result)
        return seeds, results, self.over and self.rate is None


def stands(plan: ExamPlan, trials: Iterable[StoredTrial]) -> list[Stand]:
    """Every entry at every rung, in the order of the plan."""
    ladder = ladder_of(plan)
    held: dict[tuple[str, int, str], list[StoredTrial]] = defaultdict(list)
    for trial in sorted(trials, key=lambda trial: trial.trial):
        held[trial.spec.genome, trial.spec.replica, trial.spec.rung].append(trial)
    return [
        _stand(plan, ladder, entry, rung, held[_place(entry, rung)])
        for entry in plan.entries
        for rung in plan.rungs
    ]


def _place(entry: Entry, rung: ExamRung) -> tuple[str, int, str]:
    """What the trials of an entry at a rung have in common."""
    return entry.genome, entry.replica, stretched(rung, entry.stretch).name


def _stand(
    plan: ExamPlan, ladder: Scale, entry: Entry, rung: ExamRung, own: Sequence[StoredTrial]
) -> Stand:
    seed = sweep_seed(plan, rung.name)
    swept = tuple(trial for trial in own if trial.spec.seed == seed)
    rates = tuple(sweep_rates(swept, ladder))
    tried = {trial.spec.learning_rate for trial in swept if trial.state in ENDED}
    over = tried >= set(rates)
    best = best_rates(swept, stretched(rung, entry.stretch), 1) if over else []
    rate = best[0] if best else None
    by_seed = {t.spec.seed: t for t in own if t.spec.seed != seed and t.spec.learning_rate == rate}
    return Stand(entry, rung, swept, rates, rate, over, by_seed)


def sat(plan: ExamPlan, trials: Iterable[StoredTrial]) -> list[Sat]:
    """What each entry has measured at each rung, for those that have a value or will have none."""
    return [made for stand in stands(plan, trials) if (made := _sat(plan, stand))]


def _sat(plan: ExamPlan, stand: Stand) -> Sat | None:
    seeds, results, failed = stand.ended(plan)
    if not seeds and not failed:
        return None
    sealed = [task for task in results[0].metrics if task != TEXT] if results else []
    return Sat(
        label=stand.entry.label,
        rung=stand.rung.name,
        learning_rate=stand.rate,
        seeds=tuple(seeds),
        scores=tuple(endpoint(result.metrics) for result in results),
        text_bits=tuple(result.metrics[TEXT].bits for result in results),
        tasks={task: tuple(r.metrics[task].score for r in results) for task in sealed},
        failed=failed,
    )
