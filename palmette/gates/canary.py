"""The canary: what was trained is what is evaluated."""

from __future__ import annotations

import json
import subprocess
import sys

from palmette.gates._base import Gate, GateFailure, Subject, Trained

SAME = 1e-6
APART = 1e-3
SECONDS = 300


class Canary(Gate):
    """Saved weights, loaded in a new process, give the trainer's own loss; fresh ones do not.

    Every task's loss on both splits is computed again, by a process that has only the file and the
    trial's spec. It has to agree within 1e-6 relative, and a model that was not trained has to
    differ by 1e-3 on some task: an evaluation that builds a fresh model instead of loading the
    trained one (it has happened, in published work) passes everything else.
    """

    name = "canary"

    def applies(self, subject: Subject) -> str | None:
        """Only where something was trained and saved."""
        return subject.trained if isinstance(subject.trained, str) else None

    def check(self, subject: Subject) -> str:
        """How well the losses agree."""
        assert isinstance(subject.trained, Trained)
        own = subject.trained.result
        wanted = {f"select {task}": each.loss_nats for task, each in own.select.items()}
        wanted |= {f"score {task}": each.loss_nats for task, each in own.metrics.items()}
        found = evaluated(subject.trained)
        trained, fresh = found["trained"], found["fresh"]
        if set(trained) != set(wanted):
            raise GateFailure(f"the trainer has {sorted(wanted)}, a new process {sorted(trained)}")
        worst, where = max((relative(trained[name], wanted[name]), name) for name in wanted)
        if not worst <= SAME:
            raise GateFailure(
                f"the saved weights give a loss of {trained[where]:.6f} on {where} in a new "
                f"process, but the trainer measured {wanted[where]:.6f}"
            )
        apart = max(relative(fresh[name], trained[name]) for name in wanted)
        if not apart >= APART:
            raise GateFailure(
                f"a model that was not trained has the same losses (within {apart:.0e}): these "
                "weights were never trained, or not the ones that were evaluated"
            )
        return (
            f"a new process agrees with the trainer within {worst:.0e} on {len(wanted)} losses; "
            f"an untrained model is {apart:.0%} off"
        )


def relative(one: float, other: float) -> float:
    """The relative difference of two losses."""
    return abs(one - other) / max(abs(other), 1e-12)


def evaluated(trained: Trained) -> dict[str, dict[str, float]]:
    """The losses of trained and of fresh weights, from a new process."""
    request = {
        "spec": trained.spec.model_dump(mode="json"),
        "weights": str(trained.weights.absolute()),
        "corpus": str(trained.corpus.absolute()) if trained.corpus else None,
    }
    done = subprocess.run(
        [sys.executable, "-m", "palmette.gates._evaluate"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no words"])[-1]
        raise GateFailure(f"a new process cannot evaluate the saved weights: {last}")
    answer: dict[str, dict[str, float]] = json.loads(done.stdout)
    return answer
