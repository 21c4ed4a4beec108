"""The two-layer channel mixer, natively."""

from typing import ClassVar

from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops.forms._residual import norm_of
from palmette.ops.kernels.native.gated import gated
from palmette.ops.mlp import FeedForward


class NativeMlp(FeedForward, Form):
    """down(activation(up(x))) as one operator; in a pre-norm step, with norm and sum."""

    name: ClassVar[str] = "mlp"
    stands_for: ClassVar[type[nn.Module]] = FeedForward

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Each token by itself."""
        up, down = self.up, self.down
        return gated(
            x,
            up.weight,
            None,
            down.weight,
            self.activation,
            gate_bias=up.bias,
            down_bias=down.bias,
        )

    def residual(
        self, x: Float[Tensor, "b t d"], norm: nn.Module, ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """x + the mixer of norm(x)."""
        scale, shift, kind, epsilon = norm_of(norm)
        up, down = self.up, self.down
        return gated(
            x,
            up.weight,
            None,
            down.weight,
            self.activation,
            gate_bias=up.bias,
            down_bias=down.bias,
            scale=scale,
            shift=shift,
            norm=kind,
            epsilon=epsilon,
            residual=True,
        )
