"""A pattern repeated to the depth that sizing chooses: `stack(A, B)`."""

from collections.abc import Sequence
from typing import ClassVar

from palmette.grammar.node import children, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._chain import Chain
from palmette.ops._pattern import run_once, shortest_period
from palmette.ops.seq import sequence_of


@node
class Stack(Primitive):
    """A pattern repeated `Place.depth` times, each time with fresh weights.

    Inside another stack, an every or a repeat the depth is used up and the pattern runs once;
    hence a stack in a stack is no stack:

    >>> import palmette
    >>> str(palmette.parse("stack(stack(pre(mlp())), pre(glu()))"))
    'lm(stack(pre(mlp()), pre(glu())))'
    """

    sort = Sort.CORE
    odds: ClassVar[float] = 10.0
    splits: ClassVar[bool] = True

    pattern: tuple[Primitive, ...] = children(
        Sort.CORE,
        least=1,
        most=4,
        requires=[Effect.ONE_SEGMENT],
        meaning="what is repeated, in this order",
    )

    def simplified(self) -> Primitive:
        """The shortest period of the pattern, with inner sequences and stacks opened up."""
        return stack_of(shortest_period(run_once(self.pattern)))

    def cost(self, place: Place, length: int) -> Cost:
        """The pattern's cost, once for every repetition."""
        pattern = sum((part.cost_within(place, length) for part in self.pattern), Cost())
        return pattern.times(1 if place.inside else place.depth)

    def plan(self, place: Place) -> Call:
        """One chain of all repetitions."""
        pattern = tuple(part.plan(place.within()) for part in run_once(self.pattern))
        return call(Chain, layers=pattern * (1 if place.inside else place.depth))


def stack_of(pattern: Sequence[Primitive]) -> Stack:
    """A stack of these parts; more than four of them are held as one sequence."""
    return Stack(pattern=tuple(pattern) if len(pattern) <= 4 else (sequence_of(pattern),))
