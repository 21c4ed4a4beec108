"""What a saved model scores in another process: the runner of a pool that trains nothing.

Given to `Pool` as `runner`, it is what each forked process does instead of a trial: builds the
genome at the trial's size with weights of its own, evaluates it, loads the file, evaluates it
again. Evaluation's sequences are drawn again, not read from where the trainer has kept them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from palmette.errors import TrialError
from palmette.model import build_at, cost
from palmette.ops.forms import COMPILED, PACKED
from palmette.records import TaskMetrics, TrialResult, TrialSpec
from palmette.tasks import Streams
from palmette.train.clock import Clock
from palmette.train.evaluate import evaluate
from palmette.train.executor import Progress
from palmette.train.loop import Subject, one_thread, prepare
from palmette.train.machine import machine, peak_bytes
from palmette.train.seeding import derive, weights_seed
from palmette.train.warm import Warm, make_runner

RUNNER = "palmette.exam.reload:make_reloader"


def make_reloader(corpus_directory: Path | None, commit: str | None) -> Reloader:
    """What a fork server calls once, see `train.warm.make_runner`."""
    warm = make_runner(corpus_directory, commit)
    assert isinstance(warm, Warm), "the pool's own runner"
    return Reloader(warm)


@dataclass(frozen=True)
class Reloader:
    """Evaluates saved models, each in a process of its own."""

    warm: Warm

    def __call__(self, spec: TrialSpec, weights: Path | None, on_progress: Progress) -> TrialResult:
        """The metrics of the file's weights as `metrics`, those of fresh ones as `select`.

        Raises `TrialError` if there is no such file, it does not hold this model's weights, or
        holds those that the trial began with.
        """
        assert weights is not None, "a canary is of a file"
        return reload(spec, weights, self.warm.around.corpus)

    def prepare(self, kernels: Iterable[str]) -> None:
        """Called in the server before each fork."""
        self.warm.prepare([form_of(kernel) for kernel in kernels])


def form_of(kernel: str) -> str:
    """The form that a trial's model is evaluated with: a packed or compiled one by itself.

    >>> form_of("native-packed"), form_of("torch")
    ('native', 'torch')
    """
    return PACKED.get(kernel, COMPILED.get(kernel, kernel))


def reload(spec: TrialSpec, weights: Path, corpus: Streams | None) -> TrialResult:
    """See `Reloader`."""
    with one_thread():
        clock = Clock()
        own = spec.model_copy(update={"kernel": form_of(spec.kernel)})
        subject = prepare(own)
        place = subject.sized.place
        fresh_seed = derive("canary", spec.seed, spec.replica)
        model = build_at(subject.genome, place, fresh_seed, own.kernel)
        clock.lap("build")
        fresh = measured(model, subject, own, corpus)
        load(model, read(weights), build_at(subject.genome, place, weights_seed(spec)))
        found = measured(model, subject, own, corpus)
        clock.lap("evaluation")
        price = cost(subject.genome, place, spec.length)
        return TrialResult(
            metrics=found,
            select=fresh,
            curve=(),
            parameters=subject.sized.parameters,
            parameters_non_embedding=subject.sized.non_embedding,
            width=place.width,
            depth=place.depth,
            fits=subject.sized.fits,
            flops_forward=price.flops_forward,
            flops_train=0.0,
            state_bytes=price.state_bytes,
            kernel=own.kernel,
            cpu_seconds=clock.cpu_seconds(),
            wall_seconds=clock.wall_seconds(),
            phases=clock.phases(),
            peak_bytes=peak_bytes(),
            machine=machine(own.kernel),
            commit=None,
        )


def measured(
    model: nn.Module, subject: Subject, spec: TrialSpec, corpus: Streams | None
) -> dict[str, TaskMetrics]:
    """What the trainer reports of a model, measured again."""
    model.eval()
    return evaluate(
        model,
        subject.mixture,
        corpus,
        subject.mixture.reported,
        spec.length,
        spec.evaluation_tokens,
        spec.evaluated,
        kernel=spec.kernel,
    )


def read(path: Path) -> dict[str, torch.Tensor]:
    """A state dict from its file, which may run no code. Raises `TrialError` if it is none."""
    if path.is_symlink() or not path.is_file():
        raise TrialError("there is no file of its weights")
    try:
        held: Any = torch.load(path, weights_only=True)
    except Exception as error:  # what a damaged archive raises is not settled
        raise TrialError(f"the file of its weights is damaged: {first_line(error)}") from error
    if not isinstance(held, dict) or not all(isinstance(v, torch.Tensor) for v in held.values()):
        raise TrialError("the file of its weights holds something else")
    return held


def load(model: nn.Module, held: dict[str, torch.Tensor], begun: nn.Module) -> None:
    """Gives a model the weights of a file; `begun` is as the trial's model was when it began."""
    try:
        model.load_state_dict(held)
    except RuntimeError as error:
        raise TrialError(f"the file holds another model's weights: {last_line(error)}") from error
    first = begun.state_dict()
    if all(torch.equal(first[name], held[name]) for name, _ in model.named_parameters()):
        raise TrialError("the file holds the weights that the trial began with: never trained")


def first_line(error: Exception) -> str:
    """The first line of what an error says, or its class where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def last_line(error: Exception) -> str:
    """The last line of what an error says: torch's lists what does not match."""
    return str(error).strip().splitlines()[-1].strip()[:200]
