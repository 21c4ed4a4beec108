"""The module of `rate` and of `rates`."""

from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._term import Streams


class TokenRate(nn.Module):
    """What the rule around it has computed; rates of a channel are [b h t k]."""

    def __init__(self, *, stream: str) -> None:
        super().__init__()
        self.stream = stream

    def forward(self, streams: Streams) -> Float[Tensor, "b h t m"]:
        """For all tokens."""
        return streams[self.stream]
