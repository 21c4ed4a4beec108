"""The gated channel mixer, natively."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops.forms._residual import norm_of
from palmette.ops.glu import GatedFeedForward
from palmette.ops.kernels.native.gated import gated


class NativeGlu(GatedFeedForward, Form):
    """down(activation(gate(x)) * up(x)) as one operator; in a pre-norm step, with norm and sum."""

    name: ClassVar[str] = "glu"
    stands_for: ClassVar[type[nn.Module]] = GatedFeedForward

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Each token by itself."""
        return gated(x, self.gate.weight, self.up.weight, self.down.weight, self.activation)

    def residual(
        self, x: Float[Tensor, "b t d"], norm: nn.Module, ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """x + the mixer of norm(x)."""
        scale, shift, kind, epsilon = norm_of(norm)
        return gated(
            x,
            self.gate.weight,
            self.up.weight,
            self.down.weight,
            self.activation,
            scale=scale,
            shift=shift,
            norm=kind,
            epsilon=epsilon,
            residual=True,
        )
