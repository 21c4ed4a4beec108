"""A model that gives one answer for the whole sequence: `classify(A)`."""

from dataclasses import replace

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._model import TokenModel, model_cost


@node
class Classify(Primitive):
    """A model with one answer for the whole sequence, given at every position.

    Read off the mean of the trunk's outputs, or off the last of them, which is enough for a trunk
    that is causal. So ids [b t] still become logits [b t vocabulary].
    """

    sort = Sort.MODEL
    role = "model"
    breaks = frozenset({Effect.CAUSAL, Effect.STREAMABLE})

    core: Primitive = child(Sort.CORE, meaning="the trunk; it may look ahead")
    pool: str = knob("mean", "last", meaning="what of the trunk's outputs the answer is read off")
    tie: bool = knob(True, False, weights=(3, 1), meaning="whether head and embedding are one")
    positions: str = knob(
        "none", "learned", weights=(1, 1), meaning="what is added to the embedding"
    )
    norm: str = knob("rms", "layer", weights=(4, 1), meaning="the norm before the head")

    def cost(self, place: Place, length: int) -> Cost:
        """As of an `lm`, except that norm and head run once for a sequence."""
        learned = self.positions == "learned"
        whole = model_cost(self.core, place, length, tie=self.tie, learned=learned, norm=self.norm)
        trunk = self.core.cost(place, length)
        own_forward = whole.flops_forward - trunk.flops_forward
        own_extra = whole.flops_extra - trunk.flops_extra
        return replace(
            whole,
            flops_forward=trunk.flops_forward + own_forward / length,
            flops_extra=trunk.flops_extra + own_extra / length,
        )

    def plan(self, place: Place) -> Call:
        """The whole model."""
        return call(
            Classifier,
            vocabulary=place.vocabulary,
            width=place.width,
            positions=place.context if self.positions == "learned" else 0,
            core=self.core.plan(place),
            norm=self.norm,
            tie=self.tie,
            pool=self.pool,
        )


class Classifier(TokenModel):
    """One answer for a sequence; `pool` is 'mean' or 'last'."""

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int,
        positions: int,
        core: nn.Module,
        norm: str,
        tie: bool,
        pool: str,
    ) -> None:
        super().__init__(
            vocabulary=vocabulary, width=width, positions=positions, core=core, norm=norm, tie=tie
        )
        self.pool = pool

    def answer(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t vocabulary"]:
        """The same logits at every position."""
        pooled = x.mean(1, keepdim=True) if self.pool == "mean" else x[:, -1:]
        return super().answer(pooled).expand(-1, x.shape[1], -1)
