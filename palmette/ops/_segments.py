"""How a model that is trained by more than one loss a batch hands them out, one after another.

A model whose core has `segments` above 1 (see `hloop`) is trained with an optimiser step after each
segment (deep supervision, HRM, arXiv 2506.21734); one that improves a draft (see `energy`) has a
loss on every draft. Both have `segments(ids)`, which yields a `Segment` after another; what a
segment hands on to the next is detached, so that each has a graph of its own and is computed with
the weights that the step before it has left.
"""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn


class Segment(NamedTuple):
    """What one optimiser step is made of.

    logits  the answer after this segment
    drafts  earlier answers in the same graph; the loss is the mean over them and `logits`
    halt    a logit a sequence: whether its whole answer is right, so that it may stop here; None
            for a model that does not halt
    left    how many segments follow
    """

    logits: Float[Tensor, "b t vocabulary"]
    drafts: tuple[Float[Tensor, "b t vocabulary"], ...] = ()
    halt: Float[Tensor, " b"] | None = None
    left: int = 0


def unreached(model: nn.Module) -> frozenset[str]:
    """Parameters that are declared to get no gradient from a model's logits.

    A module names those of its own that only a loss of segments trains in `unreached`.
    """
    named = {
        f"{path}.{name}" if path else name
        for path, module in model.named_modules()
        for name in getattr(module, "unreached", ())
    }
    return frozenset(name for name, _ in model.named_parameters() if name in named)
