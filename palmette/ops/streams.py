"""Several residual streams: `streams(4, attn(), glu(), mix='mhc')`, hyper-connections."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.grammar.node import children, count, knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Cost, Place, Primitive, call
from palmette.ops._connections import (
    Collapse,
    DynamicConnection,
    Mean,
    SinkhornConnection,
    StaticConnection,
    Weights,
    connection_cost,
    ending_cost,
)
from palmette.ops._norm import make_norm, norm_cost
from palmette.ops._pattern import shortest_period
from palmette.ops._stream import State, advance, any_reads_ids, run


@node
class Streams(Primitive):
    """Operators on n residual streams, which they read, write and mix by learned weights.

    Hyper-connections (arXiv 2409.19606), the streams beginning as copies. The weights are 'static',
    'dynamic' (a little more, computed from the token) or 'mhc', whose mixtures are doubly
    stochastic (arXiv 2512.24880), as in DeepSeek-V4. The operators are a pattern that repeats
    `Place.depth` times as in a `stack`; each is normed.

    >>> import palmette
    >>> str(palmette.parse("streams(2, mlp(), mlp())"))
    'lm(streams(2, mlp()))'
    """

    sort = Sort.CORE
    odds: ClassVar[float] = 0.5
    splits: ClassVar[bool] = True

    n: int = count(2, 4, 8, weights=(3, 3, 0.5), meaning="residual streams")
    pattern: tuple[Primitive, ...] = children(
        Sort.OPERATOR, least=1, most=6, meaning="what is repeated, in this order"
    )
    mix: str = knob(
        "static", "dynamic", "mhc", weights=(2, 1, 2), meaning="where the weights come from"
    )

    def simplified(self) -> Primitive:
        """The shortest period of the pattern."""
        return Streams(n=self.n, pattern=shortest_period(self.pattern), mix=self.mix)

    def cost(self, place: Place, length: int) -> Cost:
        """Each operator with its norm and connection, once for every repetition; the end."""
        d, repeats = place.width, 1 if place.inside else place.depth
        each = norm_cost("rms", d) + connection_cost(self.mix, d, self.n, False) + Cost(steps=1)
        operators = sum((part.cost_within(place, length) for part in self.pattern), Cost())
        steps = each.times(len(self.pattern) * repeats) + operators.times(repeats)
        first = connection_cost(self.mix, d, self.n, True)
        usual = connection_cost(self.mix, d, self.n, False)
        saved = Cost(first.parameters - usual.parameters, first.flops_forward - usual.flops_forward)
        return steps + saved + ending_cost(self.mix, d, self.n)

    def plan(self, place: Place) -> Call:
        """All repetitions in one module."""
        pattern = tuple(part.plan(place.within()) for part in self.pattern)
        return call(
            HyperStreams,
            width=place.width,
            streams=self.n,
            mix=self.mix,
            operators=pattern * (1 if place.inside else place.depth),
        )


class HyperStreams(nn.Module):
    """Runs its operators, each with a norm, on `streams` residual streams; mix as in `Streams`."""

    def __init__(self, *, width: int, streams: int, mix: str, operators: list[nn.Module]) -> None:
        super().__init__()
        self.streams = streams
        self.operators = nn.ModuleList(operators)
        self.norms = nn.ModuleList(make_norm("rms", width) for _ in operators)
        numbers = range(len(operators))
        self.connections = nn.ModuleList(_connection(mix, width, streams, k) for k in numbers)
        self.end = Collapse(width=width, streams=streams) if mix == "mhc" else Mean()
        self.reads_ids = any_reads_ids(operators)

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Copies, one operator after another, one stream."""
        h = self._copies(x)
        for connection, norm, operator in self._steps():
            weights = connection(h)
            h = written(h, weights, run(operator, norm(read(h, weights)), ids))
        return self.end(h)  # type: ignore[no-any-return]

    def init_state(self, batch: int) -> State:
        """A state for every operator; the streams are the token's alone."""
        return tuple(part.init_state(batch) for part in self.operators)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token through all operators."""
        h, after = self._copies(x), []
        for (connection, norm, operator), before in zip(self._steps(), state, strict=True):
            weights = connection(h)
            y, own = advance(operator, norm(read(h, weights)), before, ids)
            h = written(h, weights, y)
            after.append(own)
        return self.end(h), tuple(after)

    def _copies(self, x: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt n d"]:
        return x.unsqueeze(-2).expand(*x.shape[:-1], self.streams, x.shape[-1])

    def _steps(self) -> list[tuple[nn.Module, nn.Module, nn.Module]]:
        return list(zip(self.connections, self.norms, self.operators, strict=True))


def read(h: Float[Tensor, "*bt n d"], weights: Weights) -> Float[Tensor, "*bt d"]:
    """What an operator reads: the streams weighted by pre."""
    return (weights[0].unsqueeze(-1) * h).sum(-2)


def written(
    h: Float[Tensor, "*bt n d"], weights: Weights, y: Float[Tensor, "*bt d"]
) -> Float[Tensor, "*bt n d"]:
    """The streams mixed, with the operator's output added to each as post says."""
    _, mix, post = weights
    added = post.unsqueeze(-1) * y.unsqueeze(-2)
    if mix is None:
        return h + added
    if mix.ndim == 2:
        return torch.einsum("ij,...id->...jd", mix, h) + added
    # Laid out for small products: as it lies they would be copied one by one.
    return mix.mT.contiguous() @ h + added


def _connection(mix: str, width: int, streams: int, number: int) -> nn.Module:
    if mix == "static":
        return StaticConnection(streams=streams, number=number)
    if mix == "dynamic":
        return DynamicConnection(width=width, streams=streams, number=number)
    return SinkhornConnection(width=width, streams=streams, number=number, mixes=number > 0)
