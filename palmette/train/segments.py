"""The losses of a batch: one for most models, one a segment for those with deep supervision.

With `hloop(..., segments=n)` a batch is worth n optimiser steps (HRM, arXiv 2506.21734), and with
`halting` a sequence whose answer the model believes to be right takes no part in those that are
left. Its belief is trained by the binary cross entropy against whether the whole answer is right,
at weight 0.5. A tenth of the sequences are made to go on through a random number of segments, so
that the model also learns what going on is worth.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from palmette.ops._segments import Segment
from palmette.ops.kernels.native import cross_entropy as native
from palmette.tasks import IGNORE

HALTING_WEIGHT = 0.5
EXPLORATION = 0.1


def losses(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    weights: Tensor,
    rng: np.random.Generator,
    kernel: str = "torch",
) -> Iterator[Tensor]:
    """The scalar losses of a batch, one after another: take an optimiser step between them.

    inputs, targets [b t], weights [b]; `rng` is drawn from if the model halts; `kernel` is what
    computes the cross-entropy.
    """
    loss_of = native.cross_entropy if kernel == "native" else weighted_loss
    going_on = torch.ones_like(weights)  # [b] 1, or 0 for sequences that have halted
    least: Tensor | None = None
    for number, segment in enumerate(_segments(model, inputs), start=1):
        if segment.halt is None and not segment.drafts:
            yield loss_of(segment.logits, targets, weights)
            continue
        answers = (*segment.drafts, segment.logits)
        weighed = [loss_of(logits, targets, weights * going_on) for logits in answers]
        loss = torch.stack(weighed).mean()
        if segment.halt is None:
            yield loss
            continue
        if least is None:
            least = _least_segments(rng, len(weights), 1 + segment.left)
        right = (segment.logits.argmax(-1) == targets) | (targets == IGNORE)
        halting = binary_cross_entropy_with_logits(
            segment.halt, right.all(1).to(segment.halt.dtype), reduction="none"
        )
        yield loss + HALTING_WEIGHT * (halting * going_on).mean()
        halted = (segment.halt.detach() > 0) & (number >= least)
        going_on = going_on * ~halted
        if not going_on.any():
            return


def weighted_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The scalar loss of logits [b t vocabulary] for targets [b t] under weights [b]."""
    nats = cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="none"
    )
    return torch.dot(nats.view_as(targets).sum(dim=1), weights)


def _segments(model: nn.Module, inputs: Tensor) -> Iterator[Segment]:
    """The model's own, or its logits as one."""
    if hasattr(model, "segments"):
        yield from model.segments(inputs)  # type: ignore[operator]
    else:
        yield Segment(model(inputs))


def _least_segments(rng: np.random.Generator, rows: int, segments: int) -> Tensor:
    """How many segments each sequence runs at least [b]: 1, for the explorers 2 to all of them."""
    explores = rng.random(rows) < EXPLORATION
    return torch.from_numpy(np.where(explores, rng.integers(2, segments + 1, rows), 1))
