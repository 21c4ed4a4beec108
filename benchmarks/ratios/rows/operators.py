"""The recurrence alone, forward and backward: against transformers' operator, and against ours in
torch for every `lin` of the atlas."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cached_property

import torch
from torch import Tensor, nn

from benchmarks.ratios.agreement import Agreement, agreement
from benchmarks.ratios.measure import Side, timed
from benchmarks.ratios.models import M, S, Shape
from benchmarks.ratios.row import Row, Wanted
from benchmarks.ratios.theirs import gated_delta_operands
from palmette.model import atlas
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.forms import adopt
from palmette.ops.kernels.native.recurrence import recurrence
from palmette.ops.kernels.recurrence import recurrence_chunked
from palmette.ops.lin import Lin

FASTEST_CHUNK = 32
"""Of 16, 32, 64, 128 for their operator, at both shapes here."""

Values = dict[str, Tensor]


def both(
    function: Callable[[], Tensor], leaves: Values, weights: Tensor
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The value, and the gradients in the leaves of its product with `weights`."""
    value = function()
    return value, torch.autograd.grad(value, list(leaves.values()), weights)


class Operator(Row):
    """Two functions of the same leaves with one value."""

    def __init__(self, name: str, against: str, wanted: Wanted) -> None:
        self.name, self.against, self.wanted = name, against, wanted

    leaves: Values
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    tolerance = 1e-5

    def sides(self) -> tuple[Side, Side]:
        weights = torch.randn_like(self.theirs().detach())
        return (
            timed(lambda: both(self.ours, self.leaves, weights)),
            timed(lambda: both(self.theirs, self.leaves, weights)),
        )

    def check(self) -> Agreement:
        weights = torch.randn(self.theirs().shape, generator=torch.Generator().manual_seed(1))
        found = []
        for function in (self.ours, self.theirs):
            value, slopes = both(function, self.leaves, weights)
            named = {f"gradient in {n}": s for n, s in zip(self.leaves, slopes, strict=True)}
            found.append({"value": value.detach(), **named})
        return agreement(*found, self.tolerance)


class GatedDeltaRule(Operator):
    """From q, k, v, g and beta to the output, in the layout [b t h *] of transformers."""

    def __init__(self, shape: Shape, chunk: int | None = None) -> None:
        against, wanted = "transformers' torch chunk form", Wanted(8)
        if chunk:  # for information: their layer leaves it at 64
            against, wanted = f"the same at its fastest chunk, {chunk}", Wanted()
        super().__init__(f"gated delta operator, {shape.name}", against, wanted)
        self.chunk = {"chunk_size": chunk} if chunk else {}
        self.shape = shape
        size = shape.width // shape.heads
        self.about = f"b {shape.batch}, h {shape.heads}, t {shape.length}, k = v = {size}"

    tolerance = 2e-5  # theirs differs by half of that from double precision

    def prepare(self) -> None:
        from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

        shape = self.shape
        size = shape.width // shape.heads
        self.leaves = gated_delta_operands(shape.batch, shape.length, shape.heads, size)
        q, k, v, g, beta = self.leaves.values()

        def ours() -> Tensor:
            early = [x.transpose(1, 2) for x in (q, k, v)]
            decay, rate = (x.transpose(1, 2).unsqueeze(-1) for x in (g, beta))
            o = recurrence(*early, decay, erase=rate, write=rate, scale=size**-0.5)
            return o.transpose(1, 2)

        self.ours = ours
        self.theirs = lambda: torch_chunk_gated_delta_rule(q, k, v, g, beta, **self.chunk)[0]


def lins() -> Iterator[tuple[str, Lin]]:
    """The linear recurrences of the atlas, each once, under the first name that it has."""
    seen: set[Lin] = set()
    for name in atlas.names():
        for _, node in atlas.load(name).root.walk():
            if isinstance(node, Lin) and node not in seen:
                seen.add(node)
                yield name, node


def layer(node: Lin, shape: Shape) -> LinearRecurrence:
    """The layer at the shape's width, with its own number of heads."""
    torch.manual_seed(0)
    place = Place(
        width=shape.width, depth=1, hidden=1.0, vocabulary=256, context=shape.length, inside=True
    )
    made = instantiate(node.plan(place))
    assert isinstance(made, LinearRecurrence)
    return made


class AtlasOperator(Operator):
    """The recurrence with the terms that a layer of the atlas makes of random inputs."""

    def __init__(self, name: str, node: Lin, shape: Shape) -> None:
        super().__init__(f"lin of {name}, {shape.name}", "our torch chunk form", Wanted(4))
        self.node, self.shape = node, shape
        self.about = f"b {shape.batch}, t {shape.length}, width {shape.width}, {node.heads} heads"

    def prepare(self) -> None:
        module, shape = layer(self.node, self.shape), self.shape
        x = torch.randn(shape.batch, shape.length, shape.width)
        with torch.no_grad():
            streams, *gates = module.project(x).split(module.widths, -1)
            terms = module._terms(streams, gates, first=0)[0]
        named = dict(zip(("q", "k", "v", "g", "a", "b"), terms, strict=True))
        given = {n: None if t is None else t.detach().requires_grad_() for n, t in named.items()}
        bonus = None if module.bonus is None else module.bonus.detach().requires_grad_()
        operands = [*given.values(), bonus]
        self.leaves = {n: t for n, t in [*given.items(), ("bonus", bonus)] if t is not None}
        chunk = 32 if terms[4] is None else 16  # as the layer has it
        self.ours = lambda: recurrence(*operands)
        self.theirs = lambda: recurrence_chunked(*operands, chunk=chunk)[0]


class AtlasLayer(Row):
    """The whole layer, projections and all: for information."""

    def __init__(self, name: str, node: Lin, shape: Shape) -> None:
        self.name, self.against = f"layer of {name}, {shape.name}", "our torch layer"
        self.node, self.shape = node, shape
        self.about = f"b {shape.batch}, t {shape.length}, width {shape.width}, {node.heads} heads"

    @cached_property
    def layers(self) -> tuple[nn.Module, nn.Module]:
        theirs = layer(self.node, self.shape)
        return adopt(copy.deepcopy(theirs)), theirs

    def inputs(self) -> tuple[Tensor, Tensor]:
        rng = torch.Generator().manual_seed(0)
        size = (self.shape.batch, self.shape.length, self.shape.width)
        return torch.randn(size, generator=rng).requires_grad_(), torch.randn(size, generator=rng)

    def sides(self) -> tuple[Side, Side]:
        x, weights = self.inputs()

        def side(module: nn.Module) -> Side:
            leaves = [x, *module.parameters()]
            return timed(lambda: torch.autograd.grad(module(x), leaves, weights))

        ours, theirs = self.layers
        return side(ours), side(theirs)

    def check(self) -> Agreement:
        x, weights = self.inputs()
        found = []
        for module in self.layers:
            named = {"x": x, **dict(module.named_parameters())}
            value, slopes = both(lambda module=module: module(x), named, weights)  # type: ignore[misc]
            found.append(
                {"value": value.detach()}
                | {f"gradient in {n}": s for n, s in zip(named, slopes, strict=True)}
            )
        return agreement(*found, 1e-4)


def rows() -> Iterator[Row]:
    """The gated delta operator, then every `lin` of the atlas, at both shapes."""
    for shape in (S, M):
        yield GatedDeltaRule(shape)
        yield GatedDeltaRule(shape, FASTEST_CHUNK)
    for shape in (S, M):
        for name, node in lins():
            yield AtlasOperator(name, node, shape)
    for name, node in lins():
        yield AtlasLayer(name, node, S)
