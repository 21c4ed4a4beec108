"""A model that sees the whole sequence and answers at every position: `seq2seq(A)`."""

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._model import TokenModel, model_cost


@node
class Seq2seq(Primitive):
    """A model whose answers stand where its inputs do, each seeing the whole input (HRM, TRM).

    An `lm` but for one thing: its trunk may look ahead, so it is given only tasks whose inputs do
    not hold the answers, such as `sudoku`.
    """

    sort = Sort.MODEL
    role = "model"
    breaks = frozenset({Effect.CAUSAL, Effect.STREAMABLE})

    core: Primitive = child(Sort.CORE, meaning="the trunk; it may look ahead")
    tie: bool = knob(True, False, weights=(3, 1), meaning="whether head and embedding are one")
    positions: str = knob(
        "none", "learned", weights=(1, 1), meaning="what is added to the embedding"
    )
    norm: str = knob("rms", "layer", weights=(4, 1), meaning="the norm before the head")

    def cost(self, place: Place, length: int) -> Cost:
        """As of an `lm`."""
        learned = self.positions == "learned"
        return model_cost(self.core, place, length, tie=self.tie, learned=learned, norm=self.norm)

    def plan(self, place: Place) -> Call:
        """The whole model."""
        return call(
            SequenceModel,
            vocabulary=place.vocabulary,
            width=place.width,
            positions=place.context if self.positions == "learned" else 0,
            core=self.core.plan(place),
            norm=self.norm,
            tie=self.tie,
        )


class SequenceModel(TokenModel):
    """An answer at every position, read off the trunk at that position."""
