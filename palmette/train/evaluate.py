"""What a trained model scores on a suite: each task apart, on sequences that are the same for all.

Loss, bits and accuracy are means over answer tokens (the positions with a target), in nats and bits
under the model's full softmax over the vocabulary: an answer that is no legal one costs like any
other mistake. `score` is the task's own reading of those bits (saved over chance, over a constant).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from palmette.errors import TrialError
from palmette.ops.kernels.native.answers import answers
from palmette.records import TaskMetrics
from palmette.tasks import IGNORE, Batch, Split, Streams, Suite, Task
from palmette.tasks._base import Ints
from palmette.train.batches import evaluation
from palmette.train.shelf import Shelf

Bools: TypeAlias = npt.NDArray[np.bool_]


@torch.no_grad()
def evaluate(
    model: nn.Module,
    suite: Suite,
    corpus: Streams | None,
    split: Split,
    length: int,
    tokens: int,
    only: Sequence[str] = (),
    shelf: Shelf | None = None,
    kernel: str = "torch",
) -> dict[str, TaskMetrics]:
    """Metrics by task name: about `tokens` tokens each, of one split.

    `only` names the tasks to evaluate; a suite that has none of them is evaluated whole.
    `shelf` keeps the sequences for whoever evaluates next; `kernel` is what counts the answers.

    Raises `TrialError` naming every task whose metrics are missing or not finite: such a trial has
    failed, and no default stands in for it.
    """
    metrics: dict[str, TaskMetrics] = {}
    faults: list[str] = []
    for task in [task for task in suite.tasks if task.name in only] or suite.tasks:
        batches = evaluation(suite, task, corpus, split, length, tokens, shelf)
        try:
            metrics[task.name] = measure(model, task, batches, kernel)
        except TrialError as error:
            faults.append(f"{task.name} on split {split}: {error}")
    if faults:
        raise TrialError("evaluation failed: " + "; ".join(faults))
    return metrics


@torch.no_grad()
def measure(
    model: nn.Module, task: Task, batches: Iterable[Batch], kernel: str = "torch"
) -> TaskMetrics:
    """The metrics of one task over the batches given."""
    count = count_natively if kernel == "native" else count_in_torch
    nats, right, total = 0.0, 0, 0
    by_length = {bucket: Tally() for bucket in task.extrapolates}
    for batch in batches:
        asked = batch.targets != IGNORE
        spent, hits = count(model(torch.from_numpy(batch.inputs)), batch.targets, asked)
        nats += spent
        right += int(hits.sum())
        total += hits.size
        if batch.lengths is not None:
            lengths = batch.lengths[asked]
            for bucket, tally in by_length.items():
                tally.add(hits[lengths == bucket])
    if total == 0:
        raise TrialError("there is no answer token; raise evaluation_tokens or the length")
    if not math.isfinite(nats):
        raise TrialError(f"loss is {nats} over {total:,} answer tokens")
    empty = [bucket for bucket, tally in by_length.items() if tally.answers == 0]
    if empty:
        raise TrialError(f"there is no answer token of length {empty}; raise evaluation_tokens")
    bits = nats / total / math.log(2)
    return TaskMetrics(
        loss_nats=nats / total,
        bits=bits,
        chance_bits=task.chance_bits,
        accuracy=right / total,
        answer_tokens=total,
        score=task.score(bits),
        by_length={bucket: tally.right / tally.answers for bucket, tally in by_length.items()},
    )


def count_in_torch(logits: Tensor, targets: Ints, asked: Bools) -> tuple[float, Bools]:
    """The summed nats of the answers, and which of them are right, for logits [b t vocabulary]."""
    wanted = torch.from_numpy(targets[asked])
    given = logits[torch.from_numpy(asked)]
    hits: Bools = (given.argmax(dim=-1) == wanted).numpy()
    return cross_entropy(given, wanted, reduction="sum").item(), hits


def count_natively(logits: Tensor, targets: Ints, asked: Bools) -> tuple[float, Bools]:
    """The same up to rounding, in one pass over the logits."""
    nats, right = answers(logits.flatten(0, 1), targets.ravel())
    return nats, right.reshape(asked.shape)[asked]


@dataclass
class Tally:
    """Right answers out of all answers."""

    right: int = 0
    answers: int = 0

    def add(self, hits: Bools) -> None:
        """Counts answers [n], each right or not."""
        self.right += int(hits.sum())
        self.answers += hits.size
