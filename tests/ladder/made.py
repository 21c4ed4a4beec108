"""Candidates and finished trials out of thin air."""

from dataclasses import replace

from palmette.ladder.results import Setting, seed_of, trial_spec
from palmette.ladder.scales import Scale, pocket
from palmette.records import Candidate, StoredTrial, TaskMetrics, TrialResult

SETTING = Setting(replace(pocket(), gate=0.0), "pocket", "0" * 64, 0, 1)


def candidate(letters: str, role: str = "found", replica: int = 0, **more: object) -> Candidate:
    return Candidate(
        genome=letters * 8, expression=f"lm({letters})", replica=replica, role=role, **more
    )


def metrics(score: float) -> TaskMetrics:
    bits = 8 * (1 - score)
    return TaskMetrics(
        loss_nats=bits * 0.693,
        bits=bits,
        chance_bits=8,
        accuracy=score,
        answer_tokens=100,
        score=score,
    )


def result(score: float, select: float | None = None, seconds: float = 2.0) -> TrialResult:
    tasks = ("text", "recall", "copying", "parity")
    return TrialResult(
        metrics={task: metrics(score) for task in tasks},
        select={task: metrics(score if select is None else select) for task in tasks},
        curve=(),
        parameters=42_000,
        parameters_non_embedding=30_000,
        width=32,
        depth=2,
        fits=True,
        flops_forward=1e5,
        flops_train=1e9,
        state_bytes=1024,
        kernel="torch",
        cpu_seconds=seconds,
        wall_seconds=seconds,
        phases={"forward": seconds},
        peak_bytes=1,
        machine="none",
        commit=None,
    )


class Made:
    """Counts trials up."""

    def __init__(self, scale: Scale = SETTING.scale) -> None:
        self.setting = Setting(scale, "pocket", "0" * 64, 0, 1)
        self.count = 0

    def trial(
        self,
        who: Candidate,
        rung: int,
        score: float | None,
        rate: float = 1e-2,
        seed: int = 0,
        state: str | None = None,
        select: float | None = None,
    ) -> StoredTrial:
        self.count += 1
        spec = trial_spec(
            who,
            self.setting.scale.rungs[rung],
            self.setting,
            seed_of(self.setting, rung, seed),
            rate,
        )
        return StoredTrial(
            trial=self.count,
            key=spec.key,
            spec=spec,
            state=state or ("failed" if score is None else "done"),
            result=None if score is None else result(score, select),
        )

    def sweep(self, who: Candidate, score: float) -> list[StoredTrial]:
        """A finished first rung with the middle rate best."""
        low, middle, high = self.setting.scale.learning_rates
        return [
            self.trial(who, 0, score - 0.01, low),
            self.trial(who, 0, score, middle),
            self.trial(who, 0, score - 0.02, high),
        ]
