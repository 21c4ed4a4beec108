"""The rest of a rate: `complement(rate())`."""

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Streams, Term


@node
class Complement(Term):
    """What a rate leaves: 1 - g."""

    sort = Sort.RATE

    rate: Primitive = child(Sort.RATE, meaning="g")

    def simplified(self) -> Primitive:
        """The rest of the rest is the rate."""
        return self.rate.rate if isinstance(self.rate, Complement) else self

    def work(self, k: int, v: int) -> int:
        """Nothing is multiplied."""
        return 0

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(RestOfRate, rate=self.rate.plan(place))


class RestOfRate(nn.Module):
    """1 - g."""

    def __init__(self, *, rate: nn.Module) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, streams: Streams) -> Float[Tensor, "b h t 1"]:
        """For all tokens."""
        return 1.0 - self.rate(streams)  # type: ignore[no-any-return]
