"""What a candidate's finished trials say: its rates, its score at each rung, its next trials."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from palmette.ladder.scales import Rung, Scale
from palmette.records import Candidate, StoredTrial, TaskMetrics, TrialSpec

CONTESTED = ("found", "placebo")
"""Roles that compete: for promotion, and for the rest of a gated sweep."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a campaign share."""

    scale: Scale
    suite: str
    suite_digest: str
    seed: int
    numerics: int
    kernel: str = "torch"
    kernels: Mapping[str, str] = field(default_factory=dict)  # of rungs that have another


@dataclass(frozen=True)
class RungScore:
    """A candidate's result at a rung: one value a seed, at the learning rate chosen there."""

    rung: str
    values: tuple[float, ...]
    bits_per_byte: float | None
    learning_rate: float

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return sum(self.values) / len(self.values)


@dataclass
class Ascent:
    """A candidate on its way up: the rungs it was let onto and its trials there.

    `put` is the only way to change its trials, so that scores can be kept until one changes.
    """

    candidate: Candidate
    reached: int = 0  # the highest rung it may run, counted from 0
    trials: dict[int, list[StoredTrial]] = field(default_factory=dict)  # by rung
    _scores: dict[int, tuple[Scale, RungScore | None]] = field(
        default_factory=dict, repr=False, compare=False
    )  # by rung, with the scale that they were made for

    def put(self, trial: StoredTrial, rung: int) -> None:
        """Adds a trial of a rung, or replaces the one that has its number."""
        own = self.trials.setdefault(rung, [])
        place = next((n for n, held in enumerate(own) if held.trial == trial.trial), len(own))
        own[place : place + 1] = [trial]
        self.reached = max(self.reached, rung)
        self._scores.clear()

    def at(self, rung: int) -> list[StoredTrial]:
        """The trials at a rung, in the order in which they were queued."""
        return self.trials.get(rung, [])

    @property
    def pending(self) -> bool:
        """Whether a trial of it is queued or running."""
        return any(t.state in ("queued", "running") for own in self.trials.values() for t in own)

    def __hash__(self) -> int:
        return hash((self.candidate.genome, self.candidate.replica))


def fitness(metrics: dict[str, TaskMetrics], rung: Rung) -> float:
    """The mean score over the tasks that count at this rung.

    A suite that lacks some of them (a single task, say) counts the scored ones it has, or else all
    that it has.
    """
    scored = [metrics[name].score for name in rung.scored if name in metrics]
    scored = scored or [metric.score for metric in metrics.values()]
    return sum(scored) / len(scored)


def seed_of(setting: Setting, rung: int, number: int) -> int:
    """The seed of a rung's n-th repetition: the same for every genome, so results are paired."""
    text = f"{setting.seed}/{rung}/{number}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")


def score_at(ascent: Ascent, rung: int, scale: Scale) -> RungScore | None:
    """The score at a rung, or None before its trials have ended (or if every rate has failed)."""
    held = ascent._scores.get(rung)
    if held is None or held[0] is not scale:
        held = ascent._scores[rung] = scale, _fresh_score(ascent, rung, scale)
    return held[1]


def _fresh_score(ascent: Ascent, rung: int, scale: Scale) -> RungScore | None:
    trials = ascent.at(rung)
    if not trials or any(t.state in ("queued", "running") for t in trials):
        return None
    rate = best_rates(trials, scale.rungs[rung], 1)
    if not rate:
        return None
    chosen = [t for t in trials if t.state == "done" and t.spec.learning_rate == rate[0]]
    results = [t.result for t in chosen if t.result is not None]
    text = [r.metrics["text"].bits for r in results if "text" in r.metrics]
    return RungScore(
        rung=scale.rungs[rung].name,
        values=tuple(fitness(r.metrics, scale.rungs[rung]) for r in results),
        bits_per_byte=sum(text) / len(text) if text else None,
        learning_rate=rate[0],
    )


def best_rates(trials: Iterable[StoredTrial], rung: Rung, most: int) -> list[float]:
    """Learning rates by their mean fitness on the `select` split, best first.

    The split that chooses the rate is not the one that gives the score. A rate at which any seed
    failed is not among them: what is left of it would be a mean over the seeds that survived.
    """
    trials = list(trials)
    failed = {trial.spec.learning_rate for trial in trials if trial.state == "failed"}
    by_rate: dict[float, list[float]] = {}
    for trial in trials:
        rate = trial.spec.learning_rate
        if trial.state == "done" and trial.result is not None and rate not in failed:
            by_rate.setdefault(rate, []).append(fitness(trial.result.select, rung))
    return sorted(by_rate, key=lambda rate: (-sum(by_rate[rate]) / len(by_rate[rate]), rate))[:most]


def wanted_specs(
    ascent: Ascent, rung: int, setting: Setting, bar: float | None = None
) -> list[TrialSpec]:
    """The trials a candidate still has to be given at a rung; empty when the rung is complete.

    The first rung sweeps the learning rate and goes on past an edge that holds the optimum. Each
    later rung takes the best rates of the rung before, with fresh seeds. `bar` is what the first
    trial of a gated sweep has to reach, see `bar_of`.
    """
    scale = setting.scale
    here = scale.rungs[rung]
    given = ascent.at(rung)
    if rung == 0:
        gated = scale.gate > 0 and ascent.candidate.role in CONTESTED
        rates = gated_rates(given, scale, bar) if gated else sweep_rates(given, scale)
    else:
        rates = best_rates(ascent.at(rung - 1), scale.rungs[rung - 1], here.rates)
    have = {(t.spec.learning_rate, t.spec.seed) for t in given}
    seeds = [seed_of(setting, rung, number) for number in range(here.seeds)]
    pairs = [(rate, seed) for seed in seeds for rate in rates if (rate, seed) not in have]
    return [trial_spec(ascent.candidate, here, setting, seed, rate) for rate, seed in pairs]


def gated_rates(
    trials: Sequence[StoredTrial], scale: Scale, bar: float | None = None
) -> list[float]:
    """The rates of a sweep that begins in the middle and goes on only if that reaches the bar."""
    middle = middle_rate(scale)
    first = first_value(trials, scale)
    if len(trials) > 1:
        return sweep_rates(trials, scale)
    ended = all(t.state in ("done", "failed") for t in trials)
    if not trials or not ended or (bar is not None and (first is None or first < bar)):
        return [middle]
    return sweep_rates(trials, scale)


def bar_of(ascent: Ascent, climbers: Iterable[Ascent], scale: Scale) -> float | None:
    """What a candidate's first trial has to reach on `select` for the others to follow.

    The `gate` quantile of the first trials of the competitors that came before it, so that the
    answer does not change later; None before `patience` of them have ended.
    """
    if not scale.gate:
        return None
    earlier: list[float] = []
    for other in climbers:
        if other is ascent:
            break
        value = first_value(other.at(0), scale)
        if other.candidate.role in CONTESTED and value is not None:
            earlier.append(value)
    if len(earlier) < max(1, scale.patience):
        return None
    return sorted(earlier)[int(scale.gate * len(earlier))]


def middle_rate(scale: Scale) -> float:
    """The rate in the middle of the grid."""
    return sorted(scale.learning_rates)[len(scale.learning_rates) // 2]


def first_value(trials: Iterable[StoredTrial], scale: Scale) -> float | None:
    """The fitness on `select` of a first-rung trial at the middle rate, once it is done."""
    rung, middle = scale.rungs[0], middle_rate(scale)
    for trial in trials:
        if trial.state == "done" and trial.result and trial.spec.learning_rate == middle:
            return fitness(trial.result.select, rung)
    return None


def sweep_rates(trials: Sequence[StoredTrial], scale: Scale) -> list[float]:
    """The rates of the first rung: the grid, and further steps while the optimum is at an edge."""
    grid = list(scale.learning_rates)
    tried = sorted({t.spec.learning_rate for t in trials} | set(grid))
    ended = all(t.state in ("done", "failed") for t in trials)
    if len({t.spec.learning_rate for t in trials}) < len(grid) or not ended:
        return tried
    best = best_rates(trials, scale.rungs[0], 1)
    if not best or len(tried) - len(grid) >= scale.extensions:
        return tried
    if best[0] == tried[-1]:
        return [*tried, tried[-1] * scale.rate_factor]
    if best[0] == tried[0]:
        return [tried[0] / scale.rate_factor, *tried]
    return tried


def trial_spec(
    candidate: Candidate, rung: Rung, setting: Setting, seed: int, learning_rate: float
) -> TrialSpec:
    """One training run of a candidate."""
    return TrialSpec(
        genome=candidate.genome,
        expression=candidate.expression,
        replica=candidate.replica,
        rung=rung.name,
        rung_digest=rung.digest,
        parameters=rung.parameters,
        tokens=rung.tokens,
        batch_size=rung.batch_size,
        length=rung.length,
        evaluation_tokens=rung.evaluation_tokens,
        evaluated=rung.evaluated,
        suite=setting.suite,
        suite_digest=setting.suite_digest,
        seed=seed,
        learning_rate=learning_rate,
        kernel=setting.kernels.get(rung.name, setting.kernel),
        numerics=setting.numerics,
    )


def ascents(
    candidates: Iterable[Candidate], trials: Iterable[StoredTrial], scale: Scale
) -> list[Ascent]:
    """The state of the ladder, made from what the store holds, in the order of the candidates."""
    made = {(c.genome, c.replica): Ascent(c) for c in candidates}
    for trial in trials:
        made[trial.spec.genome, trial.spec.replica].put(trial, scale.number(trial.spec.rung))
    return list(made.values())
