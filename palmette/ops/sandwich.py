"""Norm, operator, norm, residual: `sandwich(A)`."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import child, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._norm import make_norm, norm_cost
from palmette.ops._stream import State, advance, any_reads_ids, run


@node
class Sandwich(Primitive):
    """The sandwich-norm residual step x + norm(A(norm(x))) (CogView, arXiv 2105.13290).

    The second norm bounds what one step can add; Gemma 2 (arXiv 2408.00118) has it too.
    """

    sort = Sort.BLOCK
    odds: ClassVar[float] = 0.7

    op: Primitive = child(Sort.OPERATOR, meaning="what is added to the residual stream")
    norm: str = knob("rms", "layer", weights=(4, 1), meaning="the norms around the operator")

    def cost(self, place: Place, length: int) -> Cost:
        """The operator, two norms, one residual step."""
        norms = norm_cost(self.norm, place.width).times(2)
        return self.op.cost(place, length) + norms + Cost(steps=1)

    def plan(self, place: Place) -> Call:
        """The operator inside its residual step."""
        return call(SandwichNorm, width=place.width, norm=self.norm, op=self.op.plan(place))


class SandwichNorm(nn.Module):
    """Adds an operator's normalised output to the stream: x + norm_out(op(norm_in(x)))."""

    def __init__(self, *, width: int, norm: str, op: nn.Module) -> None:
        super().__init__()
        self.norm_in = make_norm(norm, width)
        self.op = op
        self.reads_ids = any_reads_ids([op])
        self.norm_out = make_norm(norm, width)

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """The stream itself is never normalised."""
        return x + self.norm_out(run(self.op, self.norm_in(x), ids))  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> State:
        """The operator's."""
        return self.op.init_state(batch)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token."""
        y, state = advance(self.op, self.norm_in(x), state, ids)
        return x + self.norm_out(y), state
