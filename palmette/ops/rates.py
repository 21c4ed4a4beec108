"""A rate of each channel: `rates()`."""

from typing import ClassVar

from palmette.grammar.node import knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, call
from palmette.ops._rate import TokenRate
from palmette.ops._term import Term


@node
class Rates(Term):
    """A number in (0, 1) for each channel of a key, by a projection of rank 16 with a bias.

    The forms are those of `rate`. Rates of one name and form are one projection.
    """

    sort = Sort.RATES
    odds: ClassVar[float] = 2.0

    of: str = knob("a", "b", weights=(4, 1), meaning="the name of the projection")
    form: str = knob("sigmoid", "slow", weights=(1, 2), meaning="the function on it")

    @property
    def stream(self) -> str:
        """The projection that it reads."""
        return f"rates_{self.form}_{self.of}"

    def work(self, k: int, v: int) -> int:
        """Counted with the projection."""
        return 0

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(TokenRate, stream=self.stream)
