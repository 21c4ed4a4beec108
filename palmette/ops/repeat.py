"""The same weights run several times: `repeat(3, A, B)`."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import children, count, node
from palmette.grammar.types import Effect, Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._pattern import run_once
from palmette.ops._stream import State, advance, any_reads_ids, run


@node
class Repeat(Primitive):
    """The parts run n times over with the same weights (Universal Transformer, arXiv 1807.03819).

    Depth without parameters: the work and the decoding state are those of n copies, the weights
    are counted once. A stack inside runs its pattern once.
    """

    sort = Sort.CORE
    odds: ClassVar[float] = 0.4

    n: int = count(2, 3, 4, meaning="how often the parts run")
    parts: tuple[Primitive, ...] = children(
        Sort.CORE,
        least=1,
        most=3,
        requires=[Effect.ONE_SEGMENT],
        meaning="what runs, in this order",
    )

    def simplified(self) -> Primitive:
        """Inner sequences opened up; a repeat of nothing but a repeat is one, if n allows."""
        parts = run_once(self.parts)
        if len(parts) > 3:
            return self
        (first, *rest) = parts
        if not rest and isinstance(first, Repeat) and self.n * first.n <= 4:
            return Repeat(n=self.n * first.n, parts=first.parts)
        return Repeat(n=self.n, parts=parts)

    def cost(self, place: Place, length: int) -> Cost:
        """The weights once, the work and the state n times."""
        parts = sum((part.cost_within(place, length) for part in self.parts), Cost())
        return parts.rerun(self.n)

    def plan(self, place: Place) -> Call:
        """One copy of the parts, run n times."""
        parts = run_once(self.parts)
        layers = tuple(part.plan(place.within()) for part in parts)
        return call(SharedChain, times=self.n, layers=layers)


class SharedChain(nn.Module):
    """Runs its layers in order, `times` times over with the same weights."""

    def __init__(self, *, times: int, layers: list[nn.Module]) -> None:
        super().__init__()
        self.times = times
        self.layers = nn.ModuleList(layers)
        self.reads_ids = any_reads_ids(layers)

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Every round reads what the round before has written."""
        for _ in range(self.times):
            for layer in self.layers:
                x = run(layer, x, ids)
        return x

    def init_state(self, batch: int) -> State:
        """The weights are shared, the states are not: one for every layer of every round."""
        layers = [layer for _ in range(self.times) for layer in self.layers]
        return tuple(layer.init_state(batch) for layer in layers)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token through all rounds."""
        after = []
        for number, before in enumerate(state):
            x, own = advance(self.layers[number % len(self.layers)], x, before, ids)
            after.append(own)
        return x, tuple(after)
