"""The sorts, effects and knob domains of the language: what a field of a node may hold.

Everything here is data that sampling, edits, the schema and the documentation read. There are no
rules besides these: a genome is well typed if each child has the sort its place wants, each knob
holds one of its choices, and each effect that a place requires is kept by everything below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from typing import TypeAlias

Value: TypeAlias = bool | int | Fraction | str
"""What a knob can hold. Ratios are exact fractions, so that `8/3` prints as it was written."""


def literal(value: Value) -> str:
    """How a value is written in text.

    >>> [literal(value) for value in (Fraction(8, 3), Fraction(4), 4, True, "rms")]
    ['8/3', '4', '4', 'True', "'rms'"]
    """
    return str(value) if isinstance(value, Fraction) else repr(value)


class Sort(StrEnum):
    """What a node is; each place in a genome wants one sort."""

    MODEL = "Model"  # ids [b t] -> logits [b t vocabulary]
    CORE = "Core"  # [b t d] -> [b t d], a whole residual trunk or part of one
    BLOCK = "Block"  # [b t d] -> [b t d], one residual step; stands wherever a Core may
    OPERATOR = "Op"  # [b t d] -> [b t d], no residual of its own

    # Terms of an expression that one token turns a recurrent state [k v] into the next with.
    STATE = "State"  # [k v], made of the old state
    UPDATE = "Update"  # [k v], and sure to hold something of the token; stands for a State
    KEY = "Key"  # [k] of length at most 1, from the token
    VALUE = "Value"  # [v], from the token
    RATE = "Rate"  # a number in (0, 1) for each head, from the token; stands for Rates
    RATES = "Rates"  # a number in (0, 1) for each channel of a key, from the token

    def accepts(self, given: Sort) -> bool:
        """Whether a node of sort `given` may stand where this sort is wanted."""
        return given is self or (self, given) in _STANDS_FOR

    @property
    def is_term(self) -> bool:
        """Whether its nodes are parts of an expression, not maps of [b t d] or of ids."""
        return self not in (Sort.MODEL, Sort.CORE, Sort.BLOCK, Sort.OPERATOR)


_STANDS_FOR = frozenset(
    {(Sort.CORE, Sort.BLOCK), (Sort.STATE, Sort.UPDATE), (Sort.RATES, Sort.RATE)}
)


class Effect(StrEnum):
    """A promise about behaviour that holds for a genome only if it holds for each of its parts."""

    CAUSAL = "causal"  # output t depends on inputs <= t alone
    STREAMABLE = "streamable"  # can go on token by token from a state
    CONSTANT_STATE = "constant_state"  # that state does not grow with t
    LINEAR_TIME = "linear_time"  # training costs O(t), not O(t^2)
    TWICE_DIFFERENTIABLE = "twice_differentiable"
    TOKEN_FREE = "token_free"  # does not read token ids
    LOSS_FREE = "loss_free"  # needs no auxiliary loss
    FORKS = "forks"  # can weigh a candidate for the next token beside the real tokens
    ONE_SEGMENT = "one_segment"  # is trained by one loss a batch


Effects: TypeAlias = frozenset[Effect]
ALL_EFFECTS: Effects = frozenset(Effect)
NO_EFFECTS: Effects = frozenset()


@dataclass(frozen=True)
class Knob:
    """A field that holds one of a finite set of values.

    `absent` is the value of a knob that the text leaves out. It is frozen at release and
    reproduces the behaviour from before the knob existed, so old genomes keep their hashes.
    `weights` are the relative odds with which sampling draws each choice. `breaks` names, for a
    choice, the effects that it gives up. A `positional` knob is written first and by place.
    """

    choices: tuple[Value, ...]
    absent: Value | None
    meaning: str
    weights: tuple[float, ...]
    breaks: Mapping[Value, Effects] = field(default_factory=dict)
    positional: bool = False

    def allowed(self, required: Effects) -> tuple[Value, ...]:
        """The choices that keep every required effect."""
        return tuple(c for c in self.choices if not (self.breaks.get(c, NO_EFFECTS) & required))


@dataclass(frozen=True)
class Child:
    """A field that holds a node of a sort, or between `least` and `most` of them.

    `requires` are the effects that this place adds to those already required above it.
    """

    sort: Sort
    meaning: str
    many: bool = False
    least: int = 1
    most: int = 1
    requires: Effects = NO_EFFECTS
