"""What runs in fresh processes. Imports torch and nothing of palmette before a clock starts."""

from __future__ import annotations

import ctypes
import gc
import importlib
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.ratios.fresh import process_seconds

LATE = ("torch._dynamo", "torch.profiler._cupti_monitor")  # what an optimiser of torch imports


def first_use(genome: str, shape: dict[str, Any], side: str, numbers: str) -> dict[str, float]:
    """A first training step in this process: what it takes beyond importing torch.

    `side` is 'native', 'torch', or 'inductor' for `torch.compile` of the torch form. The loss and
    the gradients go to the file `numbers`.
    """
    torch = importlib.import_module("torch")
    for name in LATE:
        importlib.import_module(name)
    default_rng = importlib.import_module("numpy").random.default_rng
    torch.set_num_threads(1)
    wall, process = time.perf_counter(), process_seconds()
    from benchmarks.ratios import models
    from palmette.train.optimizer import make_optimizer
    from palmette.train.segments import losses

    imported = time.perf_counter() - wall
    size = models.Shape(**shape)
    kernel = "native" if side == "native" else "torch"
    model = models.model(genome, size, kernel).train()
    if side == "inductor":
        model.compile()
    batch = models.data(size)
    optimizer = make_optimizer(list(model.parameters()), kernel)
    (loss,) = losses(model, batch.inputs, batch.targets, batch.weights, default_rng(0))
    loss.backward()
    slopes = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    optimizer.step(models.RATE)
    taken = {
        "wall": time.perf_counter() - wall,
        "process": process_seconds() - process,
        "imports": imported,
    }
    torch.save({"loss": loss.detach(), **slopes}, numbers)
    return taken


def memory(genome: str, shape: dict[str, Any], side: str, numbers: str) -> dict[str, float]:
    """The most memory that a training step has resident beyond what was before it, in bytes.

    Before it, a step on 64 tokens has loaded libraries and made the optimiser's state.
    """
    import torch

    from benchmarks.ratios import models

    torch.set_num_threads(1)
    size = models.Shape(**shape)
    model = models.model(genome, size, side)
    step = models.palmette_step(model, models.data(models.short(size)), side)
    step()
    batch = models.data(size)
    step = models.palmette_step(model, batch, side)
    peak = peak_of(step)
    torch.save(models.numbers(models.model(genome, size, side), batch), numbers)
    return {"bytes": peak}


def steps_of(
    genome: str, kernel: str, points: list[dict[str, Any]], steps: int
) -> dict[str, list[dict[str, float]]]:
    """At each point the median processor seconds of a genome's training step, and the memory that
    it needs beyond weights and the optimiser's state.
    """
    import torch

    torch.set_num_threads(1)
    return {"points": [_step_of(genome, kernel, steps, **point) for point in points]}


def _step_of(
    genome: str, kernel: str, steps: int, place: dict[str, Any], batch: int, length: int
) -> dict[str, float]:
    from benchmarks.ratios import models
    from palmette.model import atlas, build_at
    from palmette.ops._base import Place

    size = models.Shape("", place["width"], 0, 0, length, place["vocabulary"], batch)
    model = build_at(atlas.load(genome), Place(**place), 0, kernel)
    models.palmette_step(model, models.data(models.short(size)), kernel)()
    step = models.palmette_step(model, models.data(size), kernel)
    peak = peak_of(step)
    taken = []
    for _ in range(steps):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return {"seconds": median(taken), "bytes": peak, "tokens": batch * length}


def peak_of(run: Callable[[], object]) -> float:
    """The bytes that are resident at most while something runs, beyond those before it."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is resident
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """A field of this process's status, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024.0 * int(line.split()[1])
    raise KeyError(field)


def loop(specs: list[dict[str, Any]], workers: int, corpus: str) -> dict[str, float]:
    """What someone who knows how writes: workers that are forked once from a process that has
    imported everything, one thread each, our torch kernels, each trial drawing its own data.
    """
    import multiprocessing

    from palmette.ops import language
    from palmette.tasks import TASKS

    for name in LATE:
        importlib.import_module(name)
    language()
    TASKS.names()
    with multiprocessing.get_context("fork").Pool(workers) as pool:
        wall = time.perf_counter()
        for _ in pool.imap_unordered(_one, [(spec, corpus) for spec in specs], chunksize=1):
            pass
        return {"wall": time.perf_counter() - wall}


def _one(given: tuple[dict[str, Any], str]) -> float:
    from palmette.records import TrialSpec
    from palmette.tasks import Corpus
    from palmette.train.loop import run_trial

    result = run_trial(TrialSpec.model_validate(given[0]), Corpus.open(Path(given[1])))
    return result.wall_seconds


def trial(spec: dict[str, Any], corpus: str) -> dict[str, float]:
    """One trial in this new process, with transformers' operators where the genome has one."""
    from benchmarks.ratios.theirs import planted

    with planted():
        return {"wall": _one((spec, corpus))}
