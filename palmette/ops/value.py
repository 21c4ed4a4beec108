"""A value of the token: `value()`."""

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
class Value(Term):
    """A value that is projected from the token; values of one name are one projection."""

    sort = Sort.VALUE
    odds: ClassVar[float] = 4.0

    of: str = knob("a", "b", weights=(4, 1), meaning="the name of the projection")
    form: str = knob(
        "identity", "tanh", "unit", weights=(4, 1, 1), meaning="what is done with it first"
    )

    @property
    def stream(self) -> str:
        """The projection that it reads."""
        return f"value_{self.of}"

    def work(self, k: int, v: int) -> int:
        """A length and a product for 'unit'."""
        return 2 * v * (self.form == "unit")

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(TokenValue, stream=self.stream, form=self.form)


class TokenValue(nn.Module):
    """v, tanh(v) or v / |v|."""

    def __init__(self, *, stream: str, form: str) -> None:
        super().__init__()
        self.stream, self.form = stream, form

    def forward(self, streams: Streams) -> Float[Tensor, "b h t v"]:
        """For all tokens."""
        value = streams[self.stream]
        if self.form == "tanh":
            return torch.tanh(value)
        return unit_length(value) if self.form == "unit" else value
