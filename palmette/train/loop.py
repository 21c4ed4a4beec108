"""One trial: build a genome at a size, train it once, evaluate it.

The recipe is the same for every genome, so that a difference is the genome's: AdamW
(arXiv 1711.05101) with betas 0.9 and 0.95 and weight decay 0.1 on matrices, gradients clipped to
norm 1 (arXiv 1211.5063), a linear warm-up and a cosine down to a tenth of the peak, float32, one
thread. Only the learning rate is swept.

The loss of a batch is the mean over its sequences of (weight x mean loss over the sequence's answer
tokens). A sequence with eight answers thus counts as much as one with a hundred, and what a task
contributes is set by its share and its weight alone. A model of several segments takes an optimiser
step for each of them (`segments.py`); the learning rate goes by the batch.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

import palmette
from palmette.errors import PalmetteError, TrialError
from palmette.grammar.genome import Genome
from palmette.model import build_at, cost, fit
from palmette.model.fit import Fit
from palmette.ops.forms import COMPILED, KERNELS
from palmette.records import CurvePoint, TrialResult, TrialSpec
from palmette.tasks import VOCABULARY, Split, Streams, Suite
from palmette.train.batches import batches
from palmette.train.clock import Clock
from palmette.train.compiling import compile_blocks
from palmette.train.evaluate import evaluate
from palmette.train.executor import Progress
from palmette.train.machine import machine, peak_bytes
from palmette.train.mixtures import mixture_of
from palmette.train.optimizer import make_optimizer
from palmette.train.seeding import NUMERICS, halting_generator, weights_seed
from palmette.train.segments import losses
from palmette.train.shelf import Shelf
from palmette.train.sight import require_honest

WARM_UP = 0.1  # share of the steps
FLOOR = 0.1  # of the peak learning rate, reached at the last step
CURVE_POINTS = 32


def run_trial(
    spec: TrialSpec,
    corpus: Streams | None,
    weights: Path | None = None,
    on_progress: Progress | None = None,
    commit: str | None = None,
    shelf: Shelf | None = None,
) -> TrialResult:
    """Trains and evaluates what `spec` says; the same spec gives the same bits on one machine.

    `weights` is a file to write the trained state dict to. `on_progress` is called with each of the
    about 32 points of the training curve. `commit` is recorded as given. `shelf` keeps
    the sequences for the next trial that reads the same; without one they are drawn afresh.

    A model that was to be compiled and cannot be is trained as it is, and the result says so.

    Raises `TrialError` if the loss or a metric is not finite, `PalmetteError` if the spec asks for
    what this version does not run, `OSError` if the weights cannot be written.
    """
    with one_thread():
        clock = Clock()
        own = spec.model_copy(update={"kernel": COMPILED.get(spec.kernel, spec.kernel)})
        subject = prepare(own)
        model = build_at(subject.genome, subject.sized.place, weights_seed(spec), own.kernel)
        clock.lap("build")
        compiled = False
        if spec.kernel in COMPILED:
            compiled = not compile_blocks(model, spec.batch_size, spec.length)
            clock.lap("compile")
        curve = train(model, own, subject.mixture, corpus, clock, on_progress, shelf)
        # Batches of evaluation have other shapes. Only asking for this imports the compiler.
        eager = torch.compiler.set_stance("force_eager") if compiled else nullcontext()
        with eager:
            result = examine(subject, model, own, corpus, curve, clock, weights, commit, shelf)
        return result.model_copy(update={"kernel": spec.kernel}) if compiled else result


@dataclass(frozen=True)
class Subject:
    """What a spec speaks of: its suite, its genome and the sizes that fit it."""

    mixture: Suite
    genome: Genome
    sized: Fit


def prepare(spec: TrialSpec) -> Subject:
    """Checks a spec and sizes its genome. Raises `PalmetteError` as `run_trial` does."""
    _check(spec)
    mixture = mixture_of(spec.suite)
    genome = palmette.parse(spec.expression)
    if genome.hash != spec.genome:
        raise PalmetteError(
            f"the spec's expression has hash {genome.hash[:12]} but the spec says "
            f"{spec.genome[:12]}: it was made by another version of the language"
        )
    require_honest(genome, mixture)
    sized = fit(genome, spec.parameters, VOCABULARY, mixture.context(spec.length))
    return Subject(mixture, genome, sized)


def examine(
    subject: Subject,
    model: nn.Module,
    spec: TrialSpec,
    corpus: Streams | None,
    curve: tuple[CurvePoint, ...],
    clock: Clock,
    weights: Path | None,
    commit: str | None,
    shelf: Shelf | None = None,
) -> TrialResult:
    """Evaluates a trained model, keeps its weights where they are wanted, and puts the result
    together. Raises `TrialError` if a metric is not finite, `OSError` if weights cannot be written.
    """
    select, score = (
        evaluate(
            model,
            subject.mixture,
            corpus,
            split,
            spec.length,
            spec.evaluation_tokens,
            spec.evaluated,
            shelf,
            spec.kernel,
        )
        for split in (Split.SELECT, subject.mixture.reported)
    )
    clock.lap("evaluation")
    if weights is not None:
        _save(model, weights)
        clock.lap("save")
    sized = subject.sized
    price = cost(subject.genome, sized.place, spec.length)
    return TrialResult(
        metrics=score,
        select=select,
        curve=curve,
        parameters=sized.parameters,
        parameters_non_embedding=sized.non_embedding,
        width=sized.place.width,
        depth=sized.place.depth,
        fits=sized.fits,
        flops_forward=price.flops_forward,
        flops_train=price.flops_train * curve[-1].tokens,
        state_bytes=price.state_bytes,
        kernel=spec.kernel,
        cpu_seconds=clock.cpu_seconds(),
        wall_seconds=clock.wall_seconds(),
        phases=clock.phases(),
        peak_bytes=peak_bytes(),
        weights=weights.name if weights is not None else None,
        machine=machine(spec.kernel),
        commit=commit,
    )


def train(
    model: nn.Module,
    spec: TrialSpec,
    mixture: Suite,
    corpus: Streams | None,
    clock: Clock,
    on_progress: Progress | None = None,
    shelf: Shelf | None = None,
) -> tuple[CurvePoint, ...]:
    """Trains `model` in place and returns the training curve. Raises `TrialError` on divergence."""
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(parameters, spec.kernel)
    steps = step_count(spec)
    reports = report_steps(steps)
    curve: list[CurvePoint] = []
    began = time.perf_counter()
    total, counted = 0.0, 0
    explorer = halting_generator(spec)
    clock.lap("build")
    drawn = batches(spec, mixture, corpus, steps, shelf)
    for step, (inputs, targets, weights) in enumerate(drawn):
        clock.lap("data")
        rate = spec.learning_rate * schedule(step, steps)
        for loss in losses(model, inputs, targets, weights, explorer, spec.kernel):
            # On a CPU, reading the loss waits for nothing and costs a microsecond.
            value = loss.item()
            if not math.isfinite(value):
                raise TrialError(f"diverged at {step * targets.numel():,} tokens: loss is {value}")
            clock.lap("forward")

            loss.backward()  # type: ignore[no-untyped-call]
            clock.lap("backward")

            optimizer.step(rate)
            clock.lap("optimizer")

            total += value
            counted += 1
        if step in reports:
            seconds = time.perf_counter() - began
            tokens = (step + 1) * targets.numel()
            point = CurvePoint(tokens=tokens, loss_nats=total / counted, seconds=seconds)
            curve.append(point)
            total, counted = 0.0, 0
            if on_progress is not None:
                on_progress(point)
            clock.lap("report")
    model.eval()
    return tuple(curve)


def schedule(step: int, steps: int) -> float:
    """The share of the peak learning rate at a step: linear warm-up, then cosine to the floor.

    >>> [round(schedule(step, 40), 2) for step in (0, 3, 4, 39)]
    [0.25, 1.0, 1.0, 0.1]
    """
    warm = max(1, round(WARM_UP * steps))
    if step < warm:
        return (step + 1) / warm
    done = (step - warm) / max(1, steps - 1 - warm)
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2


def step_count(spec: TrialSpec) -> int:
    """The number of optimiser steps: the wanted tokens to the nearest batch, at least one."""
    return max(1, round(spec.tokens / (spec.batch_size * spec.length)))


def report_steps(steps: int) -> frozenset[int]:
    """The steps after which the curve gets a point: evenly spread, the last one among them.

    >>> sorted(report_steps(3))
    [0, 1, 2]
    """
    points = min(steps, CURVE_POINTS)
    return frozenset(round(steps * (i + 1) / points) - 1 for i in range(points))


@contextmanager
def one_thread() -> Iterator[None]:
    """Runs torch in one thread: the order of every sum is then fixed, and so are its bits.

    On a CPU that is all it takes; `torch.use_deterministic_algorithms` would only refuse operators
    whose order depends on threads.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _check(spec: TrialSpec) -> None:
    """Refuses what this version does not run, all of it at once."""
    runs: dict[str, tuple[object, ...]] = {
        "device": ("cpu",),
        "dtype": ("float32",),
        "kernel": KERNELS,
        "numerics": (NUMERICS,),
    }
    given = spec.model_dump(include=set(runs))
    faults = [
        f"{name} {given[name]!r} (it runs {' or '.join(map(repr, known))})"
        for name, known in runs.items()
        if given[name] not in known
    ]
    if faults:
        raise PalmetteError("this version cannot run the trial's " + ", ".join(faults))


def _save(model: nn.Module, path: Path) -> None:
    """Writes the state dict under another name first, so that a kill leaves no half file."""
    held = io.BytesIO()  # torch reports a full disk as a RuntimeError, Python as an OSError
    torch.save(model.state_dict(), held)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(held.getbuffer())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)  # on a full disk even a part of a file is in the way
        raise
