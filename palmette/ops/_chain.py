"""Modules one after another: what `seq`, `stack` and `every` become."""

from jaxtyping import Float
from torch import Tensor, nn


class Chain(nn.Module):
    """Runs its layers in order, each with weights of its own."""

    def __init__(self, *, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Each layer reads what the layer before has written."""
        for layer in self.layers:
            x = layer(x)
        return x
