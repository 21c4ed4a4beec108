"""A module from elsewhere, in its place in a model."""

from typing import Any

from torch import Tensor, nn


class Opaque(nn.Module):
    """Runs a module that says nothing of itself; of several outputs the first counts."""

    def __init__(self, *, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Features [b t d] -> [b t d], or ids [b t] -> logits [b t vocabulary]."""
        return first(self.layer(x))  # type: ignore[no-any-return]


def first(y: Any) -> Any:
    """The first of several outputs, or the one that an object with named outputs is about."""
    while isinstance(y, tuple | list) and y:
        y = y[0]
    for name in ("logits", "last_hidden_state"):
        y = getattr(y, name, y)
    return y
