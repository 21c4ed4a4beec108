"""The causal language model around a trunk: `lm(A)`."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._norm import make_norm, norm_cost
from palmette.ops._stream import State, advance, run


@node
class Lm(Primitive):
    """A causal language model: token embedding, trunk, norm, one logit per token id.

    The trunk reads sqrt(d) times the embedding (arXiv 1706.03762, 3.4). With `tie` the head is the
    embedding transposed (arXiv 1608.05859) and counted once. Learned
    positions are GPT-2's, a vector per position added to the embedding; they have as many rows as
    the context and longer inputs are refused.
    """

    sort = Sort.MODEL
    role = "model"

    core: Primitive = child(Sort.CORE, requires=[Effect.CAUSAL], meaning="the trunk")
    tie: bool = knob(True, False, weights=(3, 1), meaning="whether head and embedding are one")
    positions: str = knob(
        "none", "learned", weights=(3, 1), meaning="what is added to the embedding"
    )
    norm: str = knob("rms", "layer", weights=(4, 1), meaning="the norm before the head")

    def cost(self, place: Place, length: int) -> Cost:
        """The trunk, the final norm, the tables; the head is a product with the vocabulary."""
        d, table = place.width, place.vocabulary * place.width
        tables = (1 if self.tie else 2) * table + (place.context * d if self._learned else 0)
        own = Cost(parameters=tables, flops_forward=2.0 * table)
        return own + norm_cost(self.norm, d) + self.core.cost(place, length)

    def plan(self, place: Place) -> Call:
        """The whole model."""
        return call(
            LanguageModel,
            vocabulary=place.vocabulary,
            width=place.width,
            positions=place.context if self._learned else 0,
            core=self.core.plan(place),
            norm=self.norm,
            tie=self.tie,
        )

    @property
    def _learned(self) -> bool:
        return self.positions == "learned"


class LanguageModel(nn.Module):
    """Token ids to logits; `positions` is the number of learned positions, 0 for none."""

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int,
        positions: int,
        core: nn.Module,
        norm: str,
        tie: bool,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width) if positions else None
        self.core = core
        self.norm = make_norm(norm, width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        # Rows of unit length, scaled up to unit features (as in arXiv 1706.03762, 3.4): the trunk
        # reads a token at the scale of what its blocks add, and tied logits start at unit scale.
        # Short trainings need that: 42k parameters after 100 steps on Python sources reached 3.29
        # bits per byte with DeltaNet and 3.56 with GPT-2, against 3.85 and 4.03 from GPT-2's own
        # N(0, 0.02) without the factor (means of seeds 0 and 1, one rate, a laptop-sized CPU).
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        if self.positions is not None:
            nn.init.normal_(self.positions.weight, std=0.02)
        if tie:
            self.head.weight = self.embedding.weight
        else:
            nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t vocabulary"]:
        """The logits of every next token."""
        x = run(self.core, self._read(ids, 0), ids)
        return self.head(self.norm(x))  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> State:
        """The number of tokens read, and the trunk's state."""
        return 0, self.core.init_state(batch)  # type: ignore[operator]

    def step(
        self, ids: Int[Tensor, " b"], state: State
    ) -> tuple[Float[Tensor, "b vocabulary"], State]:
        """The logits of the token after this one."""
        position, core = state
        x = self._read(ids.unsqueeze(1), position).squeeze(1)
        x, core = advance(self.core, x, core, ids)
        return self.head(self.norm(x)), (position + 1, core)

    def _read(self, ids: Int[Tensor, "b t"], first: int) -> Float[Tensor, "b t d"]:
        """The embeddings of tokens that stand at positions `first` and after."""
        x = self.embedding(ids) * self.embedding.embedding_dim**0.5
        if self.positions is not None:
            end, rows = first + ids.shape[1], self.positions.num_embeddings
            if end > rows:
                raise ValueError(
                    f"this model has learned positions for {rows} tokens but got {end}; "
                    f"shorten the input or build the model with a context of {end}"
                )
            x = x + self.positions.weight[first:end]
        return x  # type: ignore[no-any-return]
