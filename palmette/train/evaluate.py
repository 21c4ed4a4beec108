"""What a trained model scores on a suite: each task apart, on sequences that are the same for all.

Loss, bits and accuracy are means over answer tokens (the positions with a target), in nats and bits
under the model's full softmax over the vocabulary: an answer that is no legal one costs like any
other mistake. `score` is the task's own reading of those bits (saved over chance, over a constant).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from palmette.errors import TrialError
from palmette.records import TaskMetrics
from palmette.tasks import IGNORE, Batch, Split, Streams, Suite, Task
from palmette.train.batches import evaluation
from palmette.train.shelf import Shelf


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
) -> dict[str, TaskMetrics]:
    """Metrics by task name: about `tokens` tokens each, of one split.

    `only` names the tasks to evaluate; a suite that has none of them is evaluated whole.
    `shelf` keeps the sequences for whoever evaluates next.

    Raises `TrialError` naming every task whose metrics are missing or not finite: such a trial has
    failed, and no default stands in for it.
    """
    metrics: dict[str, TaskMetrics] = {}
    faults: list[str] = []
    for task in [task for task in suite.tasks if task.name in only] or suite.tasks:
        batches = evaluation(suite, task, corpus, split, length, tokens, shelf)
        try:
            metrics[task.name] = measure(model, task, batches)
        except TrialError as error:
            faults.append(f"{task.name} on split {split}: {error}")
    if faults:
        raise TrialError("evaluation failed: " + "; ".join(faults))
    return metrics


@torch.no_grad()
def measure(model: nn.Module, task: Task, batches: Iterable[Batch]) -> TaskMetrics:
    """The metrics of one task over the batches given."""
    nats, right, answers = 0.0, 0, 0
    by_length = {bucket: Tally() for bucket in task.extrapolates}
    for batch in batches:
        asked = batch.targets != IGNORE
        wanted = torch.from_numpy(batch.targets[asked])
        given = model(torch.from_numpy(batch.inputs))[torch.from_numpy(asked)]
        hits = (given.argmax(dim=-1) == wanted).numpy()
        nats += cross_entropy(given, wanted, reduction="sum").item()
        right += int(hits.sum())
        answers += hits.size
        if batch.lengths is not None:
            lengths = batch.lengths[asked]
            for bucket, tally in by_length.items():
                tally.add(hits[lengths == bucket])
    if answers == 0:
        raise TrialError("there is no answer token; raise evaluation_tokens or the length")
    if not math.isfinite(nats):
        raise TrialError(f"loss is {nats} over {answers:,} answer tokens")
    empty = [bucket for bucket, tally in by_length.items() if tally.answers == 0]
    if empty:
        raise TrialError(f"there is no answer token of length {empty}; raise evaluation_tokens")
    bits = nats / answers / math.log(2)
    return TaskMetrics(
        loss_nats=nats / answers,
        bits=bits,
        chance_bits=task.chance_bits,
        accuracy=right / answers,
        answer_tokens=answers,
        score=task.score(bits),
        by_length={bucket: tally.right / tally.answers for bucket, tally in by_length.items()},
    )


@dataclass
class Tally:
    """Right answers out of all answers."""

    right: int = 0
    answers: int = 0

    def add(self, hits: npt.NDArray[np.bool_]) -> None:
        """Counts answers [n], each right or not."""
        self.right += int(hits.sum())
        self.answers += hits.size
