"""The RMS norm, natively."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops._norm import RmsNorm
from palmette.ops.kernels.native.linear import RMS_NORM
from palmette.ops.kernels.native.norm import norm


class NativeRmsNorm(RmsNorm, Form):
    """x / sqrt(mean(x^2) + epsilon) * weight as one operator."""

    name: ClassVar[str] = "rms_norm"
    stands_for: ClassVar[type[nn.Module]] = RmsNorm

    def forward(self, x: Float[Tensor, "*bt d"]) -> Float[Tensor, "*bt d"]:
        """Normalises each token by itself."""
        return norm(x, self.weight, None, RMS_NORM, self.epsilon)
