"""A key of which some channels count more: `focus(key(), rates())`."""

from jaxtyping import Float
from torch import Tensor, nn

from palmette.grammar.node import child, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, Primitive, call
from palmette.ops._term import Streams, Term


@node
class Focus(Term):
    """A key with a rate on each of its channels: g * k."""

    sort = Sort.KEY

    key: Primitive = child(Sort.KEY, meaning="k")
    rate: Primitive = child(Sort.RATES, meaning="g")

    def work(self, k: int, v: int) -> int:
        """One product."""
        return k

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(FocusedKey, key=self.key.plan(place), rate=self.rate.plan(place))


class FocusedKey(nn.Module):
    """g * k."""

    def __init__(self, *, key: nn.Module, rate: nn.Module) -> None:
        super().__init__()
        self.key, self.rate = key, rate

    def forward(self, streams: Streams) -> Float[Tensor, "b h t k"]:
        """For all tokens."""
        return self.rate(streams) * self.key(streams)  # type: ignore[no-any-return]
