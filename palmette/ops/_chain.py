"""Modules one after another: what `seq`, `stack` and `every` become."""

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._stream import State, advance, any_reads_ids, run


class Chain(nn.Module):
    """Runs its layers in order, each with weights of its own."""

    def __init__(self, *, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.reads_ids = any_reads_ids(layers)

    def forward(
        self, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """Each layer reads what the layer before has written."""
        for layer in self.layers:
            x = run(layer, x, ids)
        return x

    def init_state(self, batch: int) -> State:
        """A state for every layer."""
        return tuple(layer.init_state(batch) for layer in self.layers)  # type: ignore[operator]

    def step(
        self, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None = None
    ) -> tuple[Float[Tensor, "b d"], State]:
        """One token through all layers."""
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            x, layer_state = advance(layer, x, before, ids)
            after.append(layer_state)
        return x, tuple(after)
