"""A small language in which every mechanism of the grammar occurs."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import ClassVar

from hypothesis import strategies as st

from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.grammar.node import Node, child, children, count, knob, node
from palmette.grammar.sample import sample_genome
from palmette.grammar.types import NO_EFFECTS, Effect, Effects, Sort


@node
class LM(Node):
    """A causal model."""

    sort = Sort.MODEL
    core: Node = child(Sort.CORE, requires=[Effect.CAUSAL], meaning="the trunk")
    tied: bool = knob(True, False, meaning="whether head and embedding share weights")


@node
class Classify(Node):
    """A model that may look both ways."""

    sort = Sort.MODEL
    odds: ClassVar[float] = 0.25
    core: Node = child(Sort.CORE, meaning="the trunk")


@node
class Seq(Node):
    """One after the other."""

    sort = Sort.CORE
    parts: tuple[Node, ...] = children(Sort.CORE, least=1, most=6, meaning="in this order")

    def simplified(self) -> Node:
        flat: list[Node] = []
        for part in self.parts:
            flat += part.parts if isinstance(part, Seq) else (part,)
        fused: list[Node] = []
        for part in flat:
            if fused and _pattern(fused[-1]) == _pattern(part):
                fused[-1] = Stack(pattern=_pattern(part))
            else:
                fused.append(part)
        return Seq(parts=tuple(fused)) if len(fused) > 1 else fused[0]


@node
class Stack(Node):
    """A pattern, repeated with fresh weights."""

    sort = Sort.CORE
    splits: ClassVar[bool] = True
    pattern: tuple[Node, ...] = children(Sort.CORE, least=1, most=4, meaning="what is repeated")

    def simplified(self) -> Node:
        if len(self.pattern) == 1 and isinstance(self.pattern[0], Stack):
            return self.pattern[0]
        if len(self.pattern) == 1 and isinstance(self.pattern[0], Seq):
            return Stack(pattern=self.pattern[0].parts)
        length = len(self.pattern)
        for period in range(1, length):
            if length % period == 0 and self.pattern == self.pattern[:period] * (length // period):
                return Stack(pattern=self.pattern[:period])
        return self


@node
class Repeat(Node):
    """The same weights again."""

    sort = Sort.CORE
    n: int = count(2, 3, 4, meaning="how often")
    parts: tuple[Node, ...] = children(Sort.CORE, least=1, most=3, meaning="what is repeated")


@node
class Pre(Node):
    """Norm, operator, residual."""

    sort = Sort.BLOCK
    op: Node = child(Sort.OPERATOR, meaning="what is added")
    norm: str = knob("rms", "layer", "none", meaning="which norm", weights=[8, 1, 1])


@node
class Par(Node):
    """Operators side by side."""

    sort = Sort.BLOCK
    branches: tuple[Node, ...] = children(Sort.OPERATOR, least=2, most=4, meaning="the branches")
    merge: str = knob("sum", "first", meaning="how they meet")

    @property
    def commutes(self) -> bool:
        return self.merge == "sum"


@node
class Gate(Node):
    """One operator times the sigmoid of another."""

    sort = Sort.OPERATOR
    odds: ClassVar[float] = 0.5
    value: Node = child(Sort.OPERATOR, meaning="what is gated")
    by: Node = child(Sort.OPERATOR, requires=[Effect.LINEAR_TIME], meaning="the gate")


@node
class Route(Node):
    """A router and its experts."""

    sort = Sort.OPERATOR
    odds: ClassVar[float] = 0.5
    breaks: ClassVar[Effects] = frozenset({Effect.LOSS_FREE})
    router: Node = child(Sort.OPERATOR, meaning="who chooses")
    experts: tuple[Node, ...] = children(Sort.OPERATOR, least=2, most=3, meaning="among whom")
    top: int = knob(1, 2, meaning="how many are chosen")


@node
class Lin(Node):
    """A linear recurrence."""

    sort = Sort.OPERATOR
    erase: str = knob("none", "beta", "vector", meaning="what is erased before a write")
    heads: int = knob(4, 1, 2, 8, meaning="number of heads")
    negative: bool = knob(False, True, meaning="whether eigenvalues may be negative")


@node
class Glu(Node):
    """A gated channel mixer."""

    sort = Sort.OPERATOR
    ratio: Fraction = knob(
        Fraction(8, 3), Fraction(4), Fraction(1, 2), meaning="hidden width over width"
    )


@node
class Conv(Node):
    """A short convolution; the padding decides whether it looks ahead."""

    sort = Sort.OPERATOR
    padding: str = knob("left", "same", meaning="where zeros go", breaks={"same": [Effect.CAUSAL]})
    reads: str = knob(
        "ids", "features", meaning="what is convolved", breaks={"ids": [Effect.TOKEN_FREE]}
    )


@node
class Attn(Node):
    """Softmax attention: dear."""

    sort = Sort.OPERATOR
    breaks: ClassVar[Effects] = frozenset({Effect.LINEAR_TIME, Effect.CONSTANT_STATE})
    window: int = knob(0, 16, 64, meaning="how far back; 0 is everything")


@node
class Mirror(Node):
    """The sequence backwards: not causal."""

    sort = Sort.OPERATOR
    breaks: ClassVar[Effects] = frozenset({Effect.CAUSAL, Effect.STREAMABLE})


def _pattern(part: Node) -> tuple[Node, ...]:
    return part.pattern if isinstance(part, Stack) else (part,)


TOY = Language(
    (LM, Classify, Seq, Stack, Repeat, Pre, Par, Gate, Route, Lin, Glu, Conv, Attn, Mirror)
)

seeds = st.integers(min_value=0, max_value=2**32)


def sampled(seed: int, required: Effects = NO_EFFECTS) -> Genome:
    """The toy genome of a seed."""
    return sample_genome(TOY, random.Random(seed), required=required)
