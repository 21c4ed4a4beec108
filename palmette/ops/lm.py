"""The causal language model around a trunk: `lm(A)`."""

from jaxtyping import Float, Int
from torch import Tensor

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._head import HIDDEN, PairHead
from palmette.ops._model import TokenModel, model_cost
from palmette.ops._stream import State, advance


@node
class Lm(Primitive):
    """A causal language model: token embedding, trunk, norm, one logit per token id.

    The trunk reads sqrt(d) times the embedding (arXiv 1706.03762, 3.4). With `tie` the head is the
    embedding transposed (arXiv 1608.05859) and counted once. Learned
    positions are GPT-2's, a vector per position added to the embedding; they have as many rows as
    the context and longer inputs are refused.

    `head` is how features and the embedding of an id give its logit: their dot product; 'mlp', a
    small network on the pair; or 'neumf', both (arXiv 2005.09683 compares them).
    """

    sort = Sort.MODEL
    role = "model"

    core: Primitive = child(Sort.CORE, requires=[Effect.CAUSAL], meaning="the trunk")
    tie: bool = knob(True, False, weights=(3, 1), meaning="whether head and embedding are one")
    positions: str = knob(
        "none", "learned", weights=(3, 1), meaning="what is added to the embedding"
    )
    norm: str = knob("rms", "layer", weights=(4, 1), meaning="the norm before the head")
    head: str = knob(
        "dot", "mlp", "neumf", weights=(20, 1, 1), meaning="the similarity that a logit is"
    )

    def cost(self, place: Place, length: int) -> Cost:
        """The trunk, the final norm, the tables; the head is a product with the vocabulary."""
        learned = self.positions == "learned"
        return model_cost(
            self.core,
            place,
            length,
            tie=self.tie,
            learned=learned,
            norm=self.norm,
            head=self.head,
        )

    def plan(self, place: Place) -> Call:
        """The whole model."""
        head = None
        if self.head != "dot":
            head = call(
                PairHead,
                width=place.width,
                vocabulary=place.vocabulary,
                hidden=HIDDEN,
                product=self.head == "neumf",
            )
        return call(
            LanguageModel,
            vocabulary=place.vocabulary,
            width=place.width,
            positions=place.context if self.positions == "learned" else 0,
            core=self.core.plan(place),
            norm=self.norm,
            tie=self.tie,
            head=head,
        )


class LanguageModel(TokenModel):
    """The logits of every next token, all at once or token by token."""

    def init_state(self, batch: int) -> State:
        """The number of tokens read, and the trunk's state."""
        return 0, self.core.init_state(batch)  # type: ignore[operator]

    def step(
        self, ids: Int[Tensor, " b"], state: State
    ) -> tuple[Float[Tensor, "b vocabulary"], State]:
        """The logits of the token after this one."""
        position, core = state
        x = self.read(ids.unsqueeze(1), position).squeeze(1)
        x, core = advance(self.core, x, core, ids)
        return self.answer(x), (position + 1, core)
