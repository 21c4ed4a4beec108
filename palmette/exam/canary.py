"""The canary: what was trained is what was evaluated.

Every model of an exam's last rung is saved by its trainer. Another process builds the genome anew,
evaluates it untrained, loads the file and evaluates it again (`reload.py`). The figures have to be
the trainer's own, every bit of them: a member of a pack is evaluated by itself, so how it was
trained changes nothing, and evaluation has one thread and one order of sums. An untrained copy's
have to be others. An evaluation of weights that were never loaded, or never trained, has happened
in published work, and passes every test that looks at scores alone.

What cannot be evaluated is a failed canary that says why; none is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from palmette.records import CanaryRow, StoredTrial, TaskMetrics, TrialResult, Verdict
from palmette.train.executor import Executor, Finished

ATTEMPTS = 3  # at a model whose process is lost
WAIT_SECONDS = 0.5


@dataclass(frozen=True)
class Model:
    """A model of an exam: the label of its entry, and the finished trial that saved it."""

    label: str
    trial: StoredTrial

    @property
    def key(self) -> tuple[str, int]:
        """What its row is kept under."""
        return self.label, self.trial.spec.seed

    @property
    def result(self) -> TrialResult:
        """What its trainer measured."""
        assert self.trial.result is not None, "a canary is of a finished trial"
        return self.trial.result


Endpoint = Callable[[dict[str, TaskMetrics]], float]
"""One number of a trial's metrics: the mean over sealed tasks' scores."""


def unheard(models: Iterable[Model], rows: Iterable[CanaryRow]) -> list[Model]:
    """The models that have no row yet."""
    heard = {(row.label, row.seed) for row in rows}
    return [model for model in models if model.key not in heard]


def listen(
    models: Collection[Model],
    folder: Path,
    executor: Executor,
    endpoint: Endpoint,
    tell: Callable[[CanaryRow], None],
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Evaluates every model again and tells a row of each, as soon as there is one. Entries that
    share a trial share its evaluation.

    `folder` holds the files, named after the trials' keys; `executor` is a pool whose runner is
    `reload.RUNNER`. `beat` is called twice a second or so. Interrupted, it is taken up by calling
    it again with the models that are left (`unheard`).
    """
    waiting: dict[str, list[Model]] = {}
    for model in models:
        waiting.setdefault(model.trial.key, []).append(model)
    running: dict[str, list[Model]] = {}
    tries: dict[str, int] = {}
    while waiting or running:
        while waiting and executor.free:
            key = next(iter(waiting))
            running[key] = waiting.pop(key)
            tries[key] = tries.get(key, 0) + 1
            executor.submit(running[key][0].trial.spec, folder / f"{key}.pt")
        for ended in executor.wait(WAIT_SECONDS):
            own = running.pop(ended.key)
            if ended.outcome in ("lost", "blocked") and tries[ended.key] < ATTEMPTS:
                waiting[ended.key] = own
            else:
                for model in own:
                    tell(row_of(model, ended, endpoint))
        beat()


def row_of(model: Model, ended: Finished, endpoint: Endpoint) -> CanaryRow:
    """What came of one model."""
    own = model.result.metrics
    told = endpoint(own)
    label, seed = model.key
    if ended.result is None:
        return CanaryRow(
            label=label,
            seed=seed,
            told=told,
            reloaded=None,
            fresh=None,
            agrees=False,
            differs=False,
            reason=ended.reason or "its process gave no reason",
        )
    again, fresh = ended.result.metrics, ended.result.select
    agrees, differs = again == own, all(fresh[task] != again[task] for task in again)
    return CanaryRow(
        label=label,
        seed=seed,
        told=told,
        reloaded=endpoint(again),
        fresh=endpoint(fresh),
        agrees=agrees,
        differs=differs,
        reason=_disagreement(own, again) if not agrees else None if differs else UNTRAINED,
    )


UNTRAINED = "an untrained copy has the same figures: the weights were never loaded"


def withheld(verdicts: Iterable[Verdict], rows: Iterable[CanaryRow]) -> tuple[Verdict, ...]:
    """The verdicts as they are if every model passed; else nothing is verified, and says why.

    One figure that its own model does not give is enough: what else has gone wrong is not known.
    """
    failed = [row for row in rows if not row.passed]
    if not failed:
        return tuple(verdicts)
    first = failed[0]
    why = (
        f"The canary failed ({first.label}, seed {first.seed}: {first.reason}), so nothing of this "
        "exam counts."
    )
    return tuple(
        one.model_copy(
            update={"verified": False, "kind": None, "sentence": f"{why} Else: {one.sentence}"}
        )
        for one in verdicts
    )


def _disagreement(told: dict[str, TaskMetrics], again: dict[str, TaskMetrics]) -> str:
    if told.keys() != again.keys():
        return f"the trainer measured {sorted(told)}, another process {sorted(again)}"
    task = next(task for task in told if told[task] != again[task])
    return (
        f"the saved weights give {again[task].bits!r} bits on {task} in another process, the "
        f"trainer told {told[task].bits!r}"
    )
