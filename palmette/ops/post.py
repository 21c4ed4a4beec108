"""Operator, residual, norm: `post(A)`."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._norm import make_norm, norm_cost
from palmette.ops._stream import State, advance, any_reads_ids, run


@node
class Post(Primitive):
    """The post-norm residual step norm(x + A(x)) of the first Transformer (arXiv 1706.03762)."""

    sort = Sort.BLOCK
    odds: ClassVar[float] = 0.5

    op: Primitive = child(Sort.OPERATOR, meaning="what is added to the residual stream")
    norm: str = knob("rms", "layer", weights=(4, 1), meaning="the norm after the addition")

    def cost(self, place: Place, length: int) -> Cost:
        """The operator, one norm, one residual step."""
        return self.op.cost(place, length) + norm_cost(self.norm, place.width) + Cost(steps=1)

    def plan(self, place: Place) -> Call:
        """The operator inside its residual step."""
        return call(PostNorm, width=place.width, norm=self.norm, op=self.op.plan(place))


class PostNorm(nn.Module):
    """Adds an operator's output to the stream and normalises the sum: norm(x + op(x))."""

    def __init__(self, *, width: int, norm: str, op: nn.Module) -> None:
        super().__init__()
        self.norm = make_norm(norm, width)
        self.op = op
        self.reads_ids = any_reads_ids([op])

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The stream has unit scale after every step."""
        return self.norm(x + run(self.op, x, ids))  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> State:
        """The operator's."""
        return self.op.init_state(batch)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        y, state = advance(self.op, x, state, ids)
        return self.norm(x + y), state
