"""What the models from token ids to logits share: embedding, positions, final norm, head."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._base import Cost, Place, Primitive
from palmette.ops._head import pair_head_cost
from palmette.ops._norm import make_norm, norm_cost
from palmette.ops._segments import Segment
from palmette.ops._stream import run


def model_cost(
    core: Primitive,
    place: Place,
    length: int,
    *,
    tie: bool,
    learned: bool,
    norm: str,
    head: str = "dot",
) -> Cost:
    """The trunk, the final norm, the tables; the head is a product with the vocabulary, or pairs.

    A trunk that is trained in segments is read by the head after each of them, but evaluated once.
    """
    segments: int = getattr(core, "segments", 1)
    rows = place.context if learned else 0
    around = _around(place.width, place.vocabulary, rows, length, tie, norm, head, segments)
    return around + core.cost(place, length)


@lru_cache(maxsize=4096)
def _around(
    d: int,
    vocabulary: int,
    positions: int,
    length: int,
    tie: bool,
    norm: str,
    head: str,
    segments: int,
) -> Cost:
    table = vocabulary * d
    tables = (1 if tie else 2) * table + positions * d
    around = Cost(parameters=tables, flops_forward=2.0 * table) + norm_cost(norm, d)
    if head != "dot":
        around += pair_head_cost(d, vocabulary, length, product=head == "neumf")
    return replace(around, flops_extra=3 * around.flops_forward * (segments - 1))


class TokenModel(nn.Module):
    """Token ids to logits around a trunk; `positions` is the number of learned ones, 0 for none.

    `head` scores features against its `weight`, a vector for each id; None is the dot product.

    The base of models, none itself: each of them says how its answer is read off the trunk.
    """

    def __init__(
        self,
        *,
        vocabulary: int,
        width: int,
        positions: int,
        core: nn.Module,
        norm: str,
        tie: bool,
        head: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width) if positions else None
        self.core = core
        self.norm = make_norm(norm, width)
        self.head = nn.Linear(width, vocabulary, bias=False) if head is None else head
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
            nn.init.normal_(self.head.weight, std=0.02)  # type: ignore[arg-type]

    def forward(self, ids: Int[Tensor, "b t"]) -> Float[Tensor, "b t vocabulary"]:
        """The logits at every position."""
        return self.answer(run(self.core, self.read(ids, 0), ids))

    def segments(self, ids: Int[Tensor, "b t"]) -> Iterator[Segment]:
        """What it is trained on: see `Segment`. A trunk of one segment gives just its logits."""
        segments = getattr(self.core, "segments", 1)
        if segments == 1:
            yield Segment(self(ids))
            return
        carry = None
        for left in reversed(range(segments)):
            carry = self.core.segment(self.read(ids, 0), carry, ids)  # type: ignore[operator]
            halt = self.core.halt_logits(carry)  # type: ignore[operator]
            yield Segment(self.answer(carry[0]), halt=halt, left=left)
            carry = tuple(part.detach() for part in carry)

    def read(self, ids: Int[Tensor, "b t"], first: int) -> Float[Tensor, "b t d"]:
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

    def answer(self, x: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt vocabulary"]:
        """The logits that the trunk's output stands for."""
        return self.head(self.norm(x))  # type: ignore[no-any-return]
