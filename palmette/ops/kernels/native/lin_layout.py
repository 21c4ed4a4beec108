"""What the native `lin` knows of a layer: its knobs as numbers, and where things are in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property

import torch
from torch import Tensor

FEATURES = ("identity", "silu", "relu", "elu1", "softmax", "rms")
DECAYS = (
    "none",
    "constant",
    "scalar",
    "vector",
    "vector_dt",
    "vector_exp",
    "vector_sigmoid",
    "tied",
    "tied_floor",
)
WRITES = ("raw", "beta", "dt", "complement", "channel")
ERASES = ("none", "beta", "beta2", "share", "channel", "free", "channel_read", "removal")
NORMS = ("none", "rms", "rms_after")
GATES = ("none", "silu", "sigmoid")

VECTORS = (
    "q_scale",
    "k_scale",
    "decay_bias",
    "decay_floor",
    "A_log",
    "dt_bias",
    "erase_bias",
    "erase_share",
    "removal_scale",
    "removal_mix",
    "write_bias",
    "echo",
    "correction",
    "retention",
)
"""The parameters that lin_terms.cpp reads, in its order."""
UPS = ("decay_up", "erase_up", "write_up")
"""The matrices that the gates of channels come from."""
NAMES = ("taps", "bias", *UPS, *VECTORS, "bonus", "skip", "out_scale")
"""All parameters between the two projections, in the order of the operators' arguments."""


@dataclass(frozen=True)
class Layout:
    """The knobs of a layer, in numbers; `gates` are the widths of its gates, in their order."""

    heads: int
    key_heads: int
    key: int
    value: int
    steps: int
    feature: int
    decay: int
    write: int
    erase: int
    rotary: int
    normalised: int
    positive: int
    silu: int
    norm: int
    gate_kind: int
    gate: int
    beta: int
    strength: int
    dt: int
    decay_rank: int
    erase_rank: int
    write_rank: int

    @cached_property
    def decays(self) -> str:
        """The decay's name."""
        return DECAYS[self.decay]

    @cached_property
    def free(self) -> bool:
        """Whether there is a stream of what is erased."""
        return ERASES[self.erase] == "free"

    @cached_property
    def tied(self) -> bool:
        """Whether a key is what its decay leaves."""
        return self.decays.startswith("tied")

    @cached_property
    def decays_channels(self) -> bool:
        """Whether a head's channels decay differently, by a gate of their own."""
        return self.decays.startswith("vector")

    @cached_property
    def strength_on_key(self) -> bool:
        """Whether a write's strength differs between the channels of a key."""
        write = WRITES[self.write]
        complement = write == "complement" and (self.tied or self.decays_channels)
        return complement or (write == "dt" and self.decays == "vector_dt")

    @cached_property
    def key_rows(self) -> int:
        """Heads that a key is written for."""
        own = ERASES[self.erase] in ("channel", "removal")
        own |= self.strength_on_key and not self.tied
        return self.heads if own else self.key_heads

    @cached_property
    def b_rows(self) -> int:
        """Heads that the direction of an erased value is written for; 0 if it is the key."""
        erase = ERASES[self.erase]
        if erase in ("free", "removal"):
            return self.heads
        if erase == "none" or not self.strength_on_key:
            return 0
        return self.heads if erase == "channel" else self.key_heads

    @cached_property
    def erases_by_rate(self) -> bool:
        """Whether the recurrence is to multiply by beta itself: what is erased is the key's."""
        return ERASES[self.erase] in ("beta", "beta2", "share") and not self.b_rows

    @cached_property
    def writes_by_rate(self) -> bool:
        """Whether it is to multiply by the strength of a write itself."""
        write = WRITES[self.write]
        if write == "raw":
            return ERASES[self.erase] in ("beta", "beta2", "share")
        return write != "channel" and not self.strength_on_key

    @cached_property
    def values_as_they_are(self) -> bool:
        """Whether the recurrence can read the values where the streams are."""
        return self.steps == 1 and not self.normalised and WRITES[self.write] != "channel"

    @cached_property
    def inner(self) -> int:
        """Values of a token."""
        return self.heads * self.value

    @cached_property
    def before_values(self) -> int:
        """Where the values are in the streams."""
        return (1 + (2 if self.free else 1) * self.steps) * self.key_heads * self.key

    @cached_property
    def channels(self) -> int:
        """How wide the streams are."""
        return self.before_values + self.steps * self.inner

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """Where the gates begin in the projection, and its width."""
        at = [self.channels]
        widths = (self.gate, self.beta, self.strength, self.dt)
        for width in (*widths, self.decay_rank, self.erase_rank, self.write_rank):
            at.append(at[-1] + width)
        return tuple(at)

    @cached_property
    def total(self) -> int:
        """How wide the projection is."""
        return self.columns[-1]


NUMBERS = len(fields(Layout))


@cache
def _layout(knobs: tuple[int, ...]) -> Layout:
    return Layout(*knobs)


def layout(knobs: Sequence[int]) -> Layout:
    """The layout of the knobs, which are its fields in order."""
    return _layout(tuple(knobs))


_turns: dict[int, tuple[Tensor, Tensor]] = {}


def turns(pairs: int, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines [at least length, pairs] of rotary positions, as `rotate_by_position`."""
    kept = _turns.get(pairs)
    if kept is None or len(kept[0]) < length:
        frequency = 10000.0 ** (-torch.arange(pairs) / pairs)
        angle = torch.arange(1 << (length - 1).bit_length())[:, None] * frequency
        kept = _turns[pairs] = (angle.cos(), angle.sin())
    return kept
