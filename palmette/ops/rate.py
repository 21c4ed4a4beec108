"""A rate of each head: `rate()`."""

from typing import ClassVar

from palmette.grammar.node import knob, node
from palmette.grammar.types import Sort
from palmette.ops._base import Call, Place, call
from palmette.ops._rate import TokenRate
from palmette.ops._term import Term


@node
class Rate(Term):
    """A number in (0, 1) for each head and token.

    'sigmoid' begins near 1/2; 'slow' is exp(-A softplus(W x + b)), which begins near 1 and holds
    what decays for long (Mamba-2, arXiv 2405.21060). Rates of one name and form are one projection.
    """

    sort = Sort.RATE
    odds: ClassVar[float] = 4.0

    of: str = knob("a", "b", "c", weights=(6, 2, 1), meaning="the name of the projection")
    form: str = knob("sigmoid", "slow", weights=(2, 1), meaning="the function on it")

    @property
    def stream(self) -> str:
        """The projection that it reads."""
        return f"rate_{self.form}_{self.of}"

    def work(self, k: int, v: int) -> int:
        """Counted with the projection."""
        return 0

    def plan(self, place: Place) -> Call:
        """The module."""
        return call(TokenRate, stream=self.stream)
