"""Norm, operator, residual: `pre(A)`."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._norm import make_norm, norm_cost
from palmette.ops._stream import State, advance, any_reads_ids, run


@node
class Pre(Primitive):
    """The pre-norm residual step x + A(norm(x)) (arXiv 2002.04745), today's usual one."""

    sort = Sort.BLOCK
    odds: ClassVar[float] = 8.0

    op: Primitive = child(Sort.OPERATOR, meaning="what is added to the residual stream")
    norm: str = knob("rms", "layer", weights=(4, 1), meaning="the norm before the operator")

    def cost(self, place: Place, length: int) -> Cost:
        """The operator, one norm, one residual step."""
        return self.op.cost(place, length) + norm_cost(self.norm, place.width) + Cost(steps=1)

    def plan(self, place: Place) -> Call:
        """The operator inside its residual step."""
        return call(PreNorm, width=place.width, norm=self.norm, op=self.op.plan(place))


class PreNorm(nn.Module):
    """Adds an operator's output to the residual stream: x + op(norm(x))."""

    def __init__(self, *, width: int, norm: str, op: nn.Module) -> None:
        super().__init__()
        self.norm = make_norm(norm, width)
        self.op = op
        self.reads_ids = any_reads_ids([op])

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The stream itself is never normalised."""
        return x + run(self.op, self.norm(x), ids)

    def init_state(self, batch: int) -> State:
        """The operator's."""
        return self.op.init_state(batch)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        y, state = advance(self.op, self.norm(x), state, ids)
        return x + y, state
