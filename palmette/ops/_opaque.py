"""A module from elsewhere, in its place in a model."""

from torch import Tensor, nn


class Opaque(nn.Module):
    """Runs a module that says nothing of itself; of several outputs the first counts."""

    def __init__(self, *, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Features [b t d] -> [b t d], or ids [b t] -> logits [b t vocabulary]."""
        y = self.layer(x)
        while isinstance(y, tuple | list):
            y = y[0]
        for name in ("logits", "last_hidden_state"):
            y = getattr(y, name, y)
        return y  # type: ignore[no-any-return]
