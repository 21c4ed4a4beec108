"""The sequences of a trial: drawn from its seed, or read where an earlier trial has kept them.

Every genome reads the same sequences at one rung and seed, and all are evaluated on the same ones.
With a `Shelf` they are drawn once, kept as 16-bit numbers and mapped by every later trial; they are
the same bits either way.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import palmette.tasks
from palmette.records import TrialSpec
from palmette.tasks import IGNORE, TASKS, Batch, Split, Streams, Suite, SuiteBatch, Task
from palmette.train.seeding import data_generator
from palmette.train.shelf import Arrays, Shelf

DRAWN_AHEAD = 16  # batches
MOST_TOKENS = 2**24  # of a trial whose sequences are kept


def batches(
    spec: TrialSpec, mixture: Suite, corpus: Streams | None, steps: int, shelf: Shelf | None = None
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Inputs [b t], targets [b t] and sequence weights [b] of each step."""
    about = _about(mixture.tasks, corpus)
    kept = shelf is not None and about is not None
    if not kept or steps * spec.batch_size * spec.length > MOST_TOKENS:
        yield from _drawn(spec, mixture, corpus, steps)
        return
    fields = ("seed", "replica", "batch_size", "length")
    fixed = {name: getattr(spec, name) for name in fields}
    parts = [f"{part.task!r} {part.share!r} {part.weight!r}" for part in mixture.parts]

    def make() -> Arrays:
        rows = list(zip(*_drawn(spec, mixture, corpus, steps), strict=True))
        inputs, targets, weights = (torch.stack(row).numpy() for row in rows)
        return {"inputs": _short(inputs), "targets": _short(targets), "weights": weights}

    assert shelf is not None
    held = shelf.arrays(f"training {about} suite={parts} {fixed} steps={steps}", make)
    for first in range(0, steps, DRAWN_AHEAD):
        # Numbers of a few steps are made long at once: one by one takes ten times as long.
        some = slice(first, first + DRAWN_AHEAD)
        inputs, targets = (_long(held[name][some]).unbind() for name in ("inputs", "targets"))
        weights = torch.from_numpy(held["weights"][some].copy()).unbind()
        yield from zip(inputs, targets, weights, strict=True)


def evaluation(
    suite: Suite,
    task: Task,
    corpus: Streams | None,
    split: Split,
    length: int,
    tokens: int,
    shelf: Shelf | None = None,
) -> Iterator[Batch]:
    """The fixed examples of a task and split in batches, as `Suite.evaluation` says."""
    about = _about((task,), corpus)
    if shelf is None or about is None or tokens > MOST_TOKENS:
        yield from suite.evaluation(task, corpus, split, length, tokens)
        return

    def make() -> Arrays:
        made = list(suite.evaluation(task, corpus, split, length, tokens))
        whole = {
            "inputs": _short(np.concatenate([batch.inputs for batch in made])),
            "targets": _short(np.concatenate([batch.targets for batch in made])),
            "rows": np.array([len(batch.inputs) for batch in made]),
        }
        lengths = [batch.lengths for batch in made if batch.lengths is not None]
        return {**whole, "lengths": _short(np.concatenate(lengths))} if lengths else whole

    decides = f"task={task!r} split={split} length={length} tokens={tokens}"
    held = shelf.arrays(f"evaluation {about} {decides}", make)
    long = {name: held[name].astype(np.int64) for name in held}
    whole = Batch(long["inputs"], long["targets"], long.get("lengths"))
    last = 0
    for rows in held["rows"].tolist():
        first, last = last, last + rows
        yield whole.rows(first, last)


def sequence_weights(batch: SuiteBatch) -> Tensor:
    """What each sequence's summed loss is multiplied with [b]: weight / (answer tokens x b)."""
    answers = (batch.targets != IGNORE).sum(axis=1)
    weights = batch.row_weights / (np.maximum(answers, 1) * len(answers))
    return torch.from_numpy(weights.astype(np.float32))


@cache
def code() -> str:
    """SHA-256 over numpy's version and the sources of all tasks: what has drawn the sequences."""
    modules = {type_.__module__ for type_ in TASKS}
    files = {Path(sys.modules[module].__file__ or "") for module in modules}
    folder = Path(palmette.tasks.__file__).parent
    files |= {*folder.glob("*.py"), *(folder / "sealed").glob("*.py")}
    digest = hashlib.sha256(np.__version__.encode())
    for file in sorted(file for file in files if file.is_file()):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def _drawn(
    spec: TrialSpec, mixture: Suite, corpus: Streams | None, steps: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Drawn several at a time: a batch drawn between two steps takes five times as long, because
    by then the caches hold the model.
    """
    generator = data_generator(spec)
    for first in range(0, steps, DRAWN_AHEAD):
        drawn = [
            mixture.batch(corpus, generator, spec.batch_size, spec.length)
            for _ in range(min(DRAWN_AHEAD, steps - first))
        ]
        for batch in drawn:
            inputs, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
            yield inputs, targets, sequence_weights(batch)


def _about(tasks: tuple[Task, ...], corpus: Streams | None) -> str | None:
    """What decides all sequences of these tasks; None for a text without a digest."""
    if not any(task.needs_text for task in tasks):
        return f"code={code()}"
    text = getattr(corpus, "sha256", None)
    return f"code={code()} text={text}" if text else None


def _short(numbers: npt.NDArray[Any]) -> npt.NDArray[np.int16]:
    short = numbers.astype(np.int16)
    assert (short == numbers).all(), "an id is larger than the vocabulary"
    return short


def _long(numbers: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(numbers.astype(np.int64))
