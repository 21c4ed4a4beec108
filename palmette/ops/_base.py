"""What every primitive and combinator says about itself beyond its grammar: its cost and its plan.

A node does not build a module. It returns a `Call`: which class to construct with which arguments.
`model.build` makes the call, `model.export` prints it; so the exported file and the trained model
come from one description.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, cast

from palmette.grammar.node import Node


@dataclass(frozen=True)
class Place:
    """The surroundings in which a node is built: the sizes that `fit` has chosen.

    width        d, the width of the residual stream
    depth        how often an outermost `stack` repeats its pattern
    hidden       the factor that `fit` puts on every channel mixer's hidden width (near 1)
    vocabulary   number of token ids
    context      the longest length in tokens (learned positions have this many rows)
    inside       True below a node that has already used up `depth`
    candidates   True below an `energy`: x is [b 2t d], the real tokens and then a candidate for
                 what follows each of them
    """

    width: int
    depth: int
    hidden: float
    vocabulary: int
    context: int
    inside: bool = False
    candidates: bool = False

    def within(self) -> "Place":
        """The place of a pattern's children: their own stacks run once."""
        return Place(
            self.width, 1, self.hidden, self.vocabulary, self.context, True, self.candidates
        )

    def hidden_width(self, ratio: float) -> int:
        """The hidden width of a channel mixer with this expansion ratio, at least 1."""
        return max(1, round(self.width * ratio * self.hidden))


@dataclass(frozen=True, init=False)
class Cost:
    """What a part of a model costs.

    parameters      trainable scalars, shared ones once
    flops_forward   2 x multiply-adds per token, in the recurrent or masked form, averaged over
                    the length that was asked for
    state_bytes     bytes (fp32, one sequence) that decoding keeps at that length
    steps           residual steps that run one after another
    flops_extra     what training costs per token beyond the usual three forward passes; negative
                    where parts get no gradient
    idle            parameters that a token does not use: experts not chosen, rows not looked up
    """

    parameters: int = 0
    flops_forward: float = 0.0
    state_bytes: int = 0
    steps: int = 0
    flops_extra: float = 0.0
    idle: int = 0

    # By hand: sizing adds up thousands of these, and a frozen dataclass sets fields one call each.
    def __init__(
        self,
        parameters: int = 0,
        flops_forward: float = 0.0,
        state_bytes: int = 0,
        steps: int = 0,
        flops_extra: float = 0.0,
        idle: int = 0,
    ) -> None:
        fields = self.__dict__
        fields["parameters"] = parameters
        fields["flops_forward"] = flops_forward
        fields["state_bytes"] = state_bytes
        fields["steps"] = steps
        fields["flops_extra"] = flops_extra
        fields["idle"] = idle

    @property
    def flops_train(self) -> float:
        """FLOPs per token of a training step: forward, backward, and what is extra."""
        return 3 * self.flops_forward + self.flops_extra

    @property
    def active(self) -> int:
        """Parameters that one token uses."""
        return self.parameters - self.idle

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.parameters + other.parameters,
            self.flops_forward + other.flops_forward,
            self.state_bytes + other.state_bytes,
            self.steps + other.steps,
            self.flops_extra + other.flops_extra,
            self.idle + other.idle,
        )

    def times(self, n: int) -> "Cost":
        """n fresh copies."""
        return Cost(
            self.parameters * n,
            self.flops_forward * n,
            self.state_bytes * n,
            self.steps * n,
            self.flops_extra * n,
            self.idle * n,
        )

    def rerun(self, n: int) -> "Cost":
        """The same weights run n times: a state and the work n times, the parameters once."""
        return Cost(
            self.parameters,
            self.flops_forward * n,
            self.state_bytes * n,
            self.steps * n,
            self.flops_extra * n,
            self.idle,
        )


@dataclass(frozen=True)
class Widths:
    """The widths at which a node can be built: multiples of a number, or only those listed."""

    multiple: int = 1
    least: int = 1
    only: tuple[int, ...] = ()

    def __contains__(self, width: object) -> bool:
        if self.only:
            return width in self.only
        return isinstance(width, int) and width >= self.least and width % self.multiple == 0


@dataclass(frozen=True)
class Call:
    """A module to construct: a class and its keyword arguments.

    Arguments are numbers, strings, booleans, None, further calls, or tuples of these.
    """

    cls: Callable[..., Any]
    arguments: tuple[tuple[str, Any], ...] = ()


def call(cls: Callable[..., Any], **arguments: Any) -> Call:
    """A `Call` written like the construction itself."""
    return Call(cls, tuple(arguments.items()))


class Primitive(Node, ABC):
    """A node with a torch half. One concrete class a file; the registry finds it."""

    widths: ClassVar[Widths] = Widths()  # at which it can be built; `fit` keeps to them

    def nodes(self) -> tuple["Primitive", ...]:
        """The direct children, in the order of the text; they too have a torch half."""
        return cast("tuple[Primitive, ...]", super().nodes())

    def simplified(self) -> "Primitive":
        """The same function written shorter, if the canonical form has a rule for it."""
        return self

    @abstractmethod
    def cost(self, place: Place, length: int) -> Cost:
        """The cost in closed form; `parameters` equals the module's `numel` exactly."""

    def cost_within(self, place: Place, length: int) -> Cost:
        """The cost as a part of a pattern, where the depth is used up.

        Remembered, for sizing tries many depths at the same widths, and genomes share parts.
        """
        return _cost_within(self, place.within(), length)

    @abstractmethod
    def plan(self, place: Place) -> Call:
        """The module that this node is, at this place."""


@lru_cache(maxsize=16384)
def _cost_within(part: Primitive, place: Place, length: int) -> Cost:
    return part.cost(place, length)
