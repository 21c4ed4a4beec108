"""An operator run from the end to the beginning: `flip(A)`."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import child, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._stream import any_reads_ids, run


@node
class Flip(Primitive):
    """An operator on the reversed sequence, its output turned back.

    Beside itself it makes a recurrence bidirectional (Schuster and Paliwal 1997), for models that
    see the whole sequence: `par(lin(), flip(lin()))`. Twice is not at all:

    >>> import palmette
    >>> str(palmette.parse("seq2seq(pre(flip(flip(lin()))))"))
    'seq2seq(pre(lin()))'
    """

    sort = Sort.OPERATOR
    odds: ClassVar[float] = 0.4
    breaks = frozenset({Effect.CAUSAL, Effect.STREAMABLE, Effect.FORKS})

    op: Primitive = child(Sort.OPERATOR, meaning="what reads the sequence backwards")

    def simplified(self) -> Primitive:
        """Backwards twice is forwards."""
        return self.op.op if isinstance(self.op, Flip) else self

    def cost(self, place: Place, length: int) -> Cost:
        """The operator's."""
        return self.op.cost(place, length)

    def plan(self, place: Place) -> Call:
        """The operator between two reversals."""
        return call(Reversed, op=self.op.plan(place))


class Reversed(nn.Module):
    """Gives its operator the sequence from the end to the beginning."""

    def __init__(self, *, op: nn.Module) -> None:
        super().__init__()
        self.op = op
        self.reads_ids = any_reads_ids([op])

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Output t depends on inputs >= t, if the operator's depends on inputs <= t."""
        return run(self.op, x.flip(1), None if ids is None else ids.flip(1)).flip(1)
