"""The short convolution as a token mixer, natively."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._activation import activate
from palmette.ops._form import Form
from palmette.ops._stream import State
from palmette.ops.conv import ShortConvolution
from palmette.ops.kernels.native.convolution import convolution, convolution_step


class NativeShortConvolution(ShortConvolution, Form):
    """Convolution, bias and a SiLU after them are one operator."""

    name: ClassVar[str] = "short_convolution"
    stands_for: ClassVar[type[nn.Module]] = ShortConvolution

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """In fp32."""
        return all(parameter.dtype == torch.float32 for parameter in module.parameters())

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over the last few tokens; causal."""
        x, gates = self._gated(x)
        silu = self.activation == "silu"
        return self._mixed(convolution(x, self.taps, self.bias, self.dilation, silu), gates)

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token; in torch where a derivative is wanted."""
        if torch.is_grad_enabled():
            return super().step(x, state)
        x, gates = self._gated(x)
        silu = self.activation == "silu"
        y, state = convolution_step(x, state, self.taps, self.bias, self.dilation, silu)
        return self._mixed(y, gates), state

    def _mixed(
        self, y: Float[Tensor, "*bt d"], gates: list[Float[Tensor, "*bt d"]]
    ) -> Float[Tensor, "*bt d"]:
        if self.activation != "silu":
            y = activate(y, self.activation)
        if self.gate in ("both", "output"):
            y = y * gates[-1]
        return self.out(y)  # type: ignore[no-any-return]
