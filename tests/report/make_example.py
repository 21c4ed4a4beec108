"""A believable campaign, made up: 60 found genomes, six baselines, three rungs, some placebos.

Every genome has a hidden quality; scores are quality plus seed noise, learning rates cost what they
are off the optimum, and some trials fail. `python -m tests.report.make_example FILE` writes the
page to look at.
"""

from __future__ import annotations

import math
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import palmette
from palmette.explain import svg
from palmette.ladder.scales import Rung, pocket
from palmette.ladder.statistics import Noise, best_of, mean_interval, pooled_noise, shrink
from palmette.ops._base import Place
from palmette.records import (
    BestRow,
    CampaignConfig,
    CurvePoint,
    Event,
    StatusRow,
    StoredTrial,
    TaskMetrics,
    TreeRow,
    TrialResult,
    TrialSpec,
)
from palmette.report import ProgressPoint, ReportData, separate_differences, write
from tests.report.population import ROOT, Grown, digest, grow

SCALE = pocket()
SIGMA = 0.0035
SOURCE = '''"""A genome, exported: it needs only torch."""

import torch
from torch import Tensor, nn


class Mlp(nn.Module):
    """Two products with a nonlinearity between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # [b t d]
        return self.down(torch.relu(self.up(x)))  # x < 0 gives 0
'''


def example(found: int = 60, seed: int = 0) -> ReportData:
    """A finished campaign with so many found genomes."""
    rng = random.Random(seed)
    people = grow(found, rng)
    trials: list[StoredTrial] = []
    clock = 0.0
    for rung_number, rung in enumerate(SCALE.rungs):
        for grown in _promoted(people, rung_number):
            clock = _run(grown, rung_number, rung, trials, clock, rng)
    noise = _noise(people)
    best = _best(people, noise)
    data = ReportData(
        config=_config(),
        status=_status(people, trials, clock, best),
        best=best,
        tree=_tree(people),
        trials=trials,
        candidates=[grown.candidate for grown in people],
        events=_events(clock),
        scores={t.trial: t.result.metrics["text"].score for t in trials if t.result},
        noise=noise,
        first_noise=Noise(SIGMA, 6),
        differences=separate_differences(best),
        progress=_progress(people, trials, noise),
        winner_source=SOURCE,
        notes=("This campaign is made up: its numbers were drawn, nothing was trained.",),
    )
    return _with_winner(data)


def without_results(data: ReportData, trials: Sequence[StoredTrial] = ()) -> ReportData:
    """The same campaign before any trial had finished, or with other trials."""
    counts: dict[str, int] = defaultdict(int)
    for trial in trials:
        counts[trial.state] += 1
    return replace(
        data,
        status=data.status.model_copy(
            update={"state": "running", "trials": dict(counts), "best": None, "best_score": None}
        ),
        best=(),
        tree=[row.model_copy(update={"score": None, "rung": None}) for row in data.tree],
        trials=trials,
        events=(),
        scores={},
        noise=None,
        differences=(),
        progress=(),
        winner_genome=None,
        winner_source=None,
        winner_diagram=None,
    )


def _promoted(people: Sequence[Grown], rung: int) -> list[Grown]:
    if rung == 0:
        return list(people)
    human = [grown for grown in people if grown.candidate.role in ("root", "baseline")]
    rest = [g for g in people if g not in human and rung - 1 in g.scores]
    rest.sort(key=lambda grown: -_mean(grown.scores[rung - 1]))
    placebo = [g for g in rest if g.candidate.role == "placebo"][:1]  # to see one on the board
    return human + list(dict.fromkeys([*rest[: max(3, len(rest) // 4)], *placebo]))


def _run(
    grown: Grown, number: int, rung: Rung, trials: list[StoredTrial], clock: float,
    rng: random.Random,
) -> float:  # fmt: skip
    by_rate: dict[float, list[float]] = defaultdict(list)
    for rate in SCALE.learning_rates[: rung.rates]:
        for seed in range(rung.seeds):
            score = grown.quality + 0.06 * number + rng.gauss(0, SIGMA)
            score -= 0.02 * math.log2(rate / 1e-2) ** 2 if rung.rates > 1 else 0
            seconds = rung.expected_seconds * rng.uniform(0.85, 1.3)
            failed = grown.fails is not None
            trials.append(
                StoredTrial(
                    trial=len(trials) + 1,
                    key=digest(f"{grown.key}{number}{rate}{seed}"),
                    spec=_spec(grown, rung, rate, 1000 * number + seed),
                    state="failed" if failed else "done",
                    reason=grown.fails,
                    attempts=2 if len(trials) % 97 == 5 else 1,
                    result=None if failed else _result(score, seconds, rung, rng),
                    started_seconds=clock / 2,
                    ended_seconds=(clock + seconds) / 2,
                )
            )
            clock += seconds
            if not failed:
                by_rate[rate].append(score)
    if by_rate:
        grown.scores[number] = max(by_rate.values(), key=_mean)
    return clock


def _spec(grown: Grown, rung: Rung, rate: float, seed: int) -> TrialSpec:
    return TrialSpec(
        genome=grown.candidate.genome,
        expression=grown.candidate.expression,
        replica=grown.candidate.replica,
        rung=rung.name,
        rung_digest=rung.digest,
        parameters=rung.parameters,
        tokens=rung.tokens,
        batch_size=rung.batch_size,
        length=rung.length,
        evaluation_tokens=rung.evaluation_tokens,
        suite="pocket",
        suite_digest=digest("suite"),
        seed=seed,
        learning_rate=rate,
        numerics=1,
    )


def _result(score: float, seconds: float, rung: Rung, rng: random.Random) -> TrialResult:
    bits = 8 * (1 - score)
    metrics = {
        "text": TaskMetrics(
            loss_nats=bits * math.log(2), bits=bits, chance_bits=8.0, accuracy=score,
            answer_tokens=32_768, score=score,
        ),
        "recall": TaskMetrics(
            loss_nats=2.6, bits=3.75, chance_bits=6.0, accuracy=0.21, answer_tokens=4_096,
            score=0.375,
        ),
    }  # fmt: skip
    end = bits * math.log(2)
    return TrialResult(
        metrics=metrics,
        select=metrics,
        curve=tuple(
            CurvePoint(
                tokens=rung.tokens * step // 32,
                loss_nats=end + (5.55 - end) * math.exp(-step / 4) + rng.gauss(0, 0.012),
                seconds=seconds * step / 32,
            )
            for step in range(1, 33)
        ),
        parameters=rung.parameters,
        parameters_non_embedding=rung.parameters - 8_704,
        width=32,
        depth=3,
        fits=True,
        flops_forward=2.0 * rung.parameters,
        flops_train=6.0 * rung.parameters * rung.tokens,
        state_bytes=8_192,
        kernel="torch",
        cpu_seconds=seconds * 0.98,
        wall_seconds=seconds,
        phases={"forward": 0.4 * seconds, "backward": 0.6 * seconds},
        peak_bytes=400_000_000,
        machine="a laptop that does not exist, 2 cores",
        commit=None,
    )


def _noise(people: Sequence[Grown]) -> Noise:
    noise = pooled_noise([values for grown in people for values in grown.scores.values()])
    assert noise is not None
    return noise


def _best(people: Sequence[Grown], noise: Noise) -> list[BestRow]:
    last = len(SCALE.rungs) - 1
    held = [grown for grown in people if last in grown.scores]
    means = [_mean(grown.scores[last]) for grown in held]
    seeds = [len(grown.scores[last]) for grown in held]
    rows = [
        BestRow(
            genome=grown.candidate.genome,
            expression=grown.candidate.expression,
            name=grown.candidate.name,
            score=estimate.value,
            low=estimate.low,
            high=estimate.high,
            raw_score=mean,
            bits_per_byte=8 * (1 - mean),
            seeds=count,
            rung=SCALE.rungs[last].name,
            role=grown.candidate.role,
            parameters=SCALE.rungs[last].parameters,
            flops_forward=3.8 * (grown.candidate.flops_forward or 0),
            state_bytes=grown.candidate.state_bytes,
        )
        for grown, mean, count, estimate in zip(
            held, means, seeds, shrink(means, seeds, noise), strict=True
        )
    ]
    return sorted(rows, key=lambda row: -row.score)


def _tree(people: Sequence[Grown]) -> list[TreeRow]:
    return [
        TreeRow(
            **grown.candidate.model_dump(
                include={"genome", "expression", "replica", "role", "name", "parents", "edit",
                         "edit_text", "proposer", "motivation"}
            ),
            prediction=grown.candidate.prediction,
            score=_mean(grown.scores[0]) if 0 in grown.scores else None,
            rung=SCALE.rungs[max(grown.scores)].name if grown.scores else None,
        )
        for grown in people
    ]  # fmt: skip


def _progress(
    people: Sequence[Grown], trials: Sequence[StoredTrial], noise: Noise
) -> list[ProgressPoint]:
    scores = {grown.key: _mean(grown.scores[0]) for grown in people if 0 in grown.scores}
    root = scores[people[0].key]
    points, seconds, best, seen = [], 0.0, root, set()
    for trial in trials:
        seconds += trial.result.wall_seconds if trial.result else 1.0
        key = (trial.spec.genome, trial.spec.replica)
        if key in scores and key not in seen and trial.spec.replica == 0:
            seen.add(key)
            best = max(best, scores[key])
            luck = best_of(len(seen), root, noise)
            points.append(ProgressPoint(seconds, len(seen), best, luck.low, luck.value, luck.high))
    return points


def _config() -> CampaignConfig:
    return CampaignConfig(
        name="example",
        scale="pocket",
        scale_digest=SCALE.digest,
        root=ROOT,
        root_name="deltanet",
        suite="pocket",
        suite_digest=digest("suite"),
        corpus="the standard library of Python 3.11, 31 MB, SHA-256 9b1c7f20",
        seed=0,
        proposers=("random", "evolution"),
        numerics=1,
    )


def _status(
    people: Sequence[Grown], trials: Sequence[StoredTrial], clock: float, best: Sequence[BestRow]
) -> StatusRow:
    states = [trial.state for trial in trials]
    return StatusRow(
        campaign="example",
        state="finished",
        genomes=len(people),
        trials={"done": states.count("done"), "failed": states.count("failed")},
        placebos=sum(grown.candidate.role == "placebo" for grown in people),
        elapsed_seconds=clock / 2,
        budget="10m",
        best=best[0].genome,
        best_score=best[0].score,
    )


def _events(clock: float) -> list[Event]:
    return [
        Event(seconds=0.0, kind="campaign started", detail={"workers": 2}),
        Event(seconds=clock / 9, kind="twin", detail={"proposal": 17, "of": "3fa1c0de"}),
        Event(seconds=clock / 5, kind="worker lost", detail={"signal": 9, "trial": 103}),
        Event(seconds=clock / 2, kind="campaign finished"),
    ]


def _with_winner(data: ReportData) -> ReportData:
    assert data.top is not None
    genome = palmette.parse(data.top.expression)
    place = Place(width=32, depth=3, hidden=1.0, vocabulary=272, context=256)
    return replace(data, winner_genome=str(genome), winner_diagram=svg(genome, place))


def _mean(values: Sequence[float]) -> float:
    interval = mean_interval(values)
    return interval.value if interval else values[0]


if __name__ == "__main__":
    print(write(example(), Path(sys.argv[1])))
