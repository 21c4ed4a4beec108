"""One after another: `seq(A, B, C)`."""

from collections.abc import Sequence
from typing import ClassVar

from palmette.grammar.node import children, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._chain import Chain
from palmette.ops._pattern import flattened, shortest_period


@node
class Seq(Primitive):
    """A sequence: each part reads what the part before it has written.

    The canonical form has no sequence inside a sequence (of more than six parts, the first five
    and a sequence of the rest), and neighbours that are equal fuse to a `stack`:

    >>> import palmette
    >>> str(palmette.parse("seq(pre(mlp()), seq(pre(glu()), pre(glu())))"))
    'lm(seq(pre(mlp()), stack(pre(glu()))))'
    """

    sort = Sort.CORE
    odds: ClassVar[float] = 1.2

    parts: tuple[Primitive, ...] = children(
        Sort.CORE,
        least=2,
        most=6,
        requires=[Effect.ONE_SEGMENT],
        meaning="what runs, in this order",
    )

    def simplified(self) -> Primitive:
        """Flat, with repetitions fused; a sequence of one is that one."""
        # A stack of a long pattern holds a sequence, so the two files need each other.
        from palmette.ops.stack import stack_of

        fused: list[Primitive] = []
        for part in flattened(self.parts):
            if fused and _pattern(fused[-1]) == _pattern(part):
                fused[-1] = stack_of(_pattern(part))
            else:
                fused.append(part)
        period = shortest_period(fused)
        return sequence_of(fused) if len(period) == len(fused) else stack_of(period)

    def cost(self, place: Place, length: int) -> Cost:
        """The sum of the parts."""
        # A block holds operators alone, so the depth is nothing to it.
        costs = (
            part.cost_within(place, length) if part.sort is Sort.BLOCK else part.cost(place, length)
            for part in self.parts
        )
        return sum(costs, Cost())

    def plan(self, place: Place) -> Call:
        """One chain, however deeply the sequences are nested."""
        return call(Chain, layers=tuple(part.plan(place) for part in flattened(self.parts)))


def sequence_of(parts: Sequence[Primitive]) -> Primitive:
    """The parts as one node: a sequence, packed where there are more than six."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) <= 6:
        return Seq(parts=tuple(parts))
    return Seq(parts=(*parts[:5], sequence_of(parts[5:])))


def _pattern(part: Primitive) -> tuple[Primitive, ...]:
    return part.nodes() if part.name == "stack" else (part,)
