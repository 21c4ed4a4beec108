"""A layer of another kind now and then: `every(4, A, B)`."""

from typing import ClassVar

from palmette.grammar.node import child, count, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._chain import Chain
from palmette.ops._pattern import run_once
from palmette.ops.seq import sequence_of
from palmette.ops.stack import stack_of


@node
class Every(Primitive):
    """Layers A with every k-th one a B: k-1 times A, then B, and so on.

    The hybrids are built so, mostly linear layers and some attention (Jamba, arXiv 2403.19887;
    Kimi Linear, arXiv 2510.26692). Outermost it runs through max(k, depth) layers, a remainder
    being A; inside a stack, another every or a repeat it runs one period.
    """

    sort = Sort.CORE
    odds: ClassVar[float] = 0.8

    k: int = count(2, 3, 4, 6, 8, weights=(3, 2, 3, 0.5, 0.3), meaning="the period in layers")
    usual: Primitive = child(
        Sort.CORE,
        requires=[Effect.ONE_SEGMENT],
        meaning="the layer that stands k-1 times in a period",
    )
    rare: Primitive = child(
        Sort.CORE, requires=[Effect.ONE_SEGMENT], meaning="the layer that ends a period"
    )

    def simplified(self) -> Primitive:
        """Stacks run once here; if both layers are the same it is a stack of that layer."""
        usual, rare = run_once((self.usual,)), run_once((self.rare,))
        if usual == rare:
            return stack_of(usual)
        return Every(k=self.k, usual=sequence_of(usual), rare=sequence_of(rare))

    def cost(self, place: Place, length: int) -> Cost:
        """As many of each layer as `layers` says."""
        usual, rare = self.layers(place)
        one, other = (part.cost_within(place, length) for part in (self.usual, self.rare))
        return one.times(usual) + other.times(rare)

    def plan(self, place: Place) -> Call:
        """One chain of all layers."""
        usual, rare = (
            tuple(part.plan(place.within()) for part in run_once((layer,)))
            for layer in (self.usual, self.rare)
        )
        total = sum(self.layers(place))
        layers = (rare if (n + 1) % self.k == 0 else usual for n in range(total))
        return call(Chain, layers=tuple(part for layer in layers for part in layer))

    def layers(self, place: Place) -> tuple[int, int]:
        """How many layers of each kind run at this place."""
        total = self.k if place.inside else max(self.k, place.depth)
        return total - total // self.k, total // self.k
