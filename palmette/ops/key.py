"""A key of the token: `key()`."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, call
from palmette.ops._lin_parts import unit_length
from palmette.ops._term import Streams, Term


@node
class Key(Term):
    """A key that is projected from the token, at most of length 1.

    'unit' divides by the length, 'softmax' makes it weights over the channels. Keys of one name
    are one projection.
    """

    sort = Sort.KEY
    odds: ClassVar[float] = 4.0

    of: str = knob("a", "b", weights=(4, 1), meaning="the name of the projection")
    form: str = knob("unit", "softmax", weights=(4, 1), meaning="how its length is bounded")

    @property
    def stream(self) -> str:
        """The projection that it reads."""
        return f"key_{self.of}"

    def work(self, k: int, v: int) -> int:
        """A length and a product, or an exponential's normalisation."""
        return 2 * k if self.form == "unit" else k

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(TokenKey, stream=self.stream, form=self.form)


class TokenKey(nn.Module):
    """k / |k|, or softmax(k)."""

    def __init__(self, *, stream: str, form: str) -> None:
        super().__init__()
        self.stream, self.form = stream, form

    def forward(self, streams: Streams) -> Float[Tensor, "b h t k"]:
        """For all tokens."""
        key = streams[self.stream]
        return unit_length(key) if self.form == "unit" else torch.softmax(key, -1)
