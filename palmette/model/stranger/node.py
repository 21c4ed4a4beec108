"""The node that speaks of a stranger's class, and the module that it plans.

Its effects are those that the gates have shown: causal. Every other promise is broken: nobody has
said that it can decode from a state, and nobody knows. So it keeps all its inputs to go on from a
text, which is what `state_bytes` counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from palmette import ops
from palmette.errors import TrialError, UserError
from palmette.grammar.genome import Genome
from palmette.grammar.node import node
from palmette.grammar.types import ALL_EFFECTS, Effect, Sort
from palmette.model.stranger.counted import value
from palmette.model.stranger.source import Source, execute
from palmette.ops._base import Call, Cost, Place, Primitive, Widths, call
from palmette.ops._opaque import Opaque
from palmette.records import Stranger

# An opaque module gets no ids but a model's own, adds no loss and is trained in one piece: by what
# it is called with. That it is causal is for the gates to say.
KEPT = frozenset({Effect.CAUSAL, Effect.TOKEN_FREE, Effect.LOSS_FREE, Effect.ONE_SEGMENT})


def admit(stranger: Stranger, run: bool = False) -> type[Primitive]:
    """Makes the node class and adds it to this process' language.

    With `run` its modules are the file's own, which is for locked-down processes alone; otherwise
    it can be sized, drawn and exported, and built of stand-ins.
    """
    cls = node_class(stranger, run)
    ops.admit(cls)
    return cls


def expression(stranger: Stranger) -> str:
    """The genome in which it is compared: the atlas' usual trunk around it, or the model alone.

    A layer gets what the baselines have beside their mixers, so that the mixers are compared.
    """
    if stranger.takes == "ids":
        return f"{stranger.name}()"
    return f"lm(stack(pre({stranger.name}()), pre(glu())))"


def strangers_of(genome: Genome) -> tuple[Stranger, ...]:
    """The strangers that a genome has parts of."""
    found = {type(part).name: getattr(type(part), "own", None) for _, part in genome.root.walk()}
    return tuple(own for own in found.values() if isinstance(own, Stranger))


_classes: dict[tuple[str, bool], tuple[Stranger, type[Primitive]]] = {}


def node_class(stranger: Stranger, run: bool) -> type[Primitive]:
    """The class of its node, called as `stranger.name` says.

    Asked again for the same stranger it gives the same class: a genome made before its admission
    equals one made after.
    """
    own, cls = _classes.get((stranger.name, run), (None, None))
    if cls is None or own != stranger:
        cls = _made(stranger, run)
        _classes[stranger.name, run] = stranger, cls
    return cls


def _made(stranger: Stranger, run: bool) -> type[Primitive]:
    layer = stranger.takes == "features"

    class Strange(Primitive):
        own: ClassVar[Stranger] = stranger
        name = stranger.name
        sort = Sort.OPERATOR if layer else Sort.MODEL
        role = "token mixer" if layer else "model"
        breaks = ALL_EFFECTS - KEPT
        widths = Widths(stranger.multiple, stranger.least, stranger.only)

        def cost(self, place: Place, length: int) -> Cost:
            """As counted; see `Stranger`."""
            depth = place.depth if not layer else 1
            kept = place.width if layer else 1
            return Cost(
                parameters=round(value(stranger.parameters, place.width, depth, place.context)),
                flops_forward=_flops(stranger, place.width, depth, length),
                state_bytes=4 * kept * length,
                steps=0 if layer else 2 * depth,
            )

        def plan(self, place: Place) -> Call:
            """The file's class inside `Opaque`."""
            depth = place.depth if not layer else 1
            return call(Opaque, layer=_planned(stranger, place, depth, run))

    Strange.__doc__ = f"{stranger.cls} of {stranger.file}. {stranger.summary}".strip()
    Strange.__name__ = Strange.__qualname__ = stranger.name
    return node(Strange)


def _flops(stranger: Stranger, width: int, depth: int, length: int) -> float:
    """Per token: between the counted lengths as counted, beyond them on a straight line, as the
    mean over a text of what is linear or quadratic in its length goes on.
    """
    lengths = stranger.flops_forward.axes[-1]
    last, before = lengths[-1], lengths[-2]
    if length <= last:
        return max(0.0, float(value(stranger.flops_forward, width, depth, length)))
    end, near = (value(stranger.flops_forward, width, depth, at) for at in (last, before))
    slope = max(0.0, float(end - near) / (last - before))
    return max(0.0, float(end)) + slope * (length - last)


@dataclass(frozen=True)
class Foreign:
    """A class of a stranger's file, where a plan wants a class."""

    stranger: Stranger
    cls: str
    place: Place
    parameters: int | None  # that it has to have; None for its config
    run: bool

    def __post_init__(self) -> None:
        # Where whoever prints a plan looks for a class' name.
        object.__setattr__(self, "__module__", self.stranger.name)
        object.__setattr__(self, "__qualname__", self.cls)

    def __call__(self, **arguments: Any) -> Any:
        """The module itself where it may run, its stand-in where it may not."""
        if not self.run:
            if not _standing_in.get():
                raise UserError(
                    f"{self.cls} of {self.stranger.file} is built in a locked-down process alone; "
                    "to have it here, write it with `palmette export` and import what you wrote"
                )
            return None if self.parameters is None else StandIn(self)
        made = getattr(loaded(self.stranger.file, self.stranger.source), self.cls)(**arguments)
        if self.parameters is not None:
            built = sum(p.numel() for p in made.parameters() if p.requires_grad)
            if built != self.parameters:
                raise TrialError(
                    f"{self.cls} has {built:,} parameters at width {self.place.width} where "
                    f"{self.parameters:,} follow from the widths that were counted"
                )
        return made


def _planned(stranger: Stranger, place: Place, depth: int, run: bool) -> Call:
    sizes = {
        "width": place.width,
        "depth": depth,
        "vocabulary": place.vocabulary,
        "context": place.context,
    }
    arguments: dict[str, Any] = _at(stranger.settings, stranger.sizes, sizes)
    if stranger.config is not None:
        held = tuple(_at(stranger.config_settings, stranger.config_sizes, sizes).items())
        made: Callable[..., Any] = SimpleNamespace
        if stranger.config_cls is not None:
            made = Foreign(stranger, stranger.config_cls, place, None, run)
        arguments[stranger.config] = Call(made, held)
    count = round(value(stranger.parameters, place.width, depth, place.context))
    return Call(Foreign(stranger, stranger.cls, place, count, run), tuple(arguments.items()))


def _at(settings: dict[str, Any], sizes: dict[str, str], here: dict[str, int]) -> dict[str, Any]:
    """Plain values, and those that depend on a size, at these sizes."""
    found = dict(settings)
    for name, text in sizes.items():
        factor, _, rest = text.rpartition("*")
        word, _, divisor = rest.partition("/")
        found[name] = int(factor or 1) * here[word] // int(divisor or 1)
    return found


@cache
def loaded(file: str, source: str) -> ModuleType:
    """The file's module, run once a process."""
    return execute(Source(file, source))


_standing_in = ContextVar("standing in", default=False)


@contextmanager
def stand_ins() -> Iterator[None]:
    """Meanwhile, models with strangers are built with stand-ins in their place."""
    before = _standing_in.set(True)
    try:
        yield
    finally:
        _standing_in.reset(before)


class StandIn(nn.Module):
    """A module of a stranger's size, for the process that may not run the stranger's own.

    It computes a causal function of its own, fixed by the digest of the stranger's text and by the
    first of its weights: so two genomes with strangers are functional twins if they are so for an
    unknown function of unknown weights, and a layer that runs twice is not two layers.
    """

    def __init__(self, foreign: Foreign) -> None:
        super().__init__()
        self.stranger = foreign.stranger
        self.vocabulary = foreign.place.vocabulary
        width, count = foreign.place.width, foreign.parameters or 0
        if width not in Widths(self.stranger.multiple, self.stranger.least, self.stranger.only):
            count = width if count else 0  # nothing was counted there
        self.weights = nn.Parameter(torch.empty(count))

    def forward(self, x: Tensor) -> Tensor:
        """Features [b t d] -> [b t d], or ids [b t] -> logits [b t vocabulary]."""
        if self.stranger.takes == "ids":
            x = nn.functional.one_hot(x, self.vocabulary).float()
        width = x.shape[-1]
        generator = torch.Generator().manual_seed(int(self.stranger.name[-8:], 16))
        now, past = torch.randn(2, width, width, generator=generator) / width**0.5
        weights = self.weights[:width]
        before = (x @ past).cumsum(1) / torch.arange(1, x.shape[1] + 1).sqrt()[:, None]
        before = before * nn.functional.pad(weights, (0, width - len(weights)), value=1.0)
        return torch.tanh(x @ now) * (1 + torch.sigmoid(before)) + torch.sin(before)
