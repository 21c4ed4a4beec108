"""The diagonal scan, natively: the scan and what makes its decay and input are one operator."""

from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from palmette.ops._activation import activate
from palmette.ops._form import Form
from palmette.ops._scan_gates import BLOCKS, ConstantGates, HgrnGates, RglruGates, SelectiveGates
from palmette.ops.forms._residual import added_product, normed_product
from palmette.ops.kernels.native.convolution import convolution
from palmette.ops.kernels.native.linear import RMS_NORM, linear
from palmette.ops.kernels.native.norm import norm as normed
from palmette.ops.kernels.native.scan import hgrn_scan, rglru_scan
from palmette.ops.kernels.native.selective import constant_scan, selective_scan
from palmette.ops.scan import DiagonalScan


class NativeDiagonalScan(DiagonalScan, Form):
    """Product, convolution with its activation, scan, norm, gate, product."""

    name: ClassVar[str] = "diagonal_scan"
    stands_for: ClassVar[type[nn.Module]] = DiagonalScan

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """In fp32."""
        return all(parameter.dtype == torch.float32 for parameter in module.parameters())

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Mixes over time; causal, with a state that does not grow."""
        y = self._mixed(linear(x, self.project.weight))
        return linear(y, self.out.weight)

    def residual(
        self, x: Float[Tensor, "b t d"], norm: nn.Module, ids: Int[Tensor, "b t"] | None = None
    ) -> Float[Tensor, "b t d"]:
        """x + scan(norm(x)); see `_residual.py`."""
        return added_product(self._mixed(normed_product(norm, x, self.project)), self.out, x)

    def _mixed(self, projected: Float[Tensor, "b t e"]) -> Float[Tensor, "b t m"]:
        """All between the two products."""
        u, gate, z = torch.split(projected, self.widths, -1)
        silu = self.activation == "silu"
        if self.taps is not None:
            u = convolution(u, self.taps, self.bias, 1, silu)
            u = u if silu else activate(u, self.activation)
        else:
            u = activate(u if self.bias is None else u + self.bias, self.activation)
        y = self._scanned(u, z)
        if self.out_scale is not None:
            y = normed(y, self.out_scale, None, RMS_NORM, 1e-5)
        return y * activate(gate, self.out_gate) if self.out_gate != "none" else y

    def _scanned(
        self, u: Float[Tensor, "b t m"], z: Float[Tensor, "b t z"]
    ) -> Float[Tensor, "b t m"]:
        """The outputs of the scan, and the skip around it."""
        gates = self.gates
        if isinstance(gates, SelectiveGates):
            read = linear(u, gates.project.weight)
            return selective_scan(u, read, gates.step_up, gates.step_bias, gates.A_log, self.skip)
        if isinstance(gates, ConstantGates):
            rate = gates.A_log.exp()
            log_decay = -rate * gates.step_log.exp().unsqueeze(-1)
            # The state is of what goes in, and is read times what it is worth.
            reading = gates.reading * (-torch.expm1(log_decay) / rate)
            return constant_scan(u, log_decay.exp(), reading, self.skip)
        if isinstance(gates, HgrnGates):
            y = hgrn_scan(z, u, gates.floor)
        else:
            assert isinstance(gates, RglruGates), f"no gates are called {type(gates).__name__}"
            blocks = u.reshape(*u.shape[:-1], BLOCKS, -1)
            both = torch.einsum("...gk,gkm->...gm", blocks, gates.weight)
            sides = both.reshape(*blocks.shape[:-1], 2, -1).transpose(-3, -2).flatten(-3)
            y = rglru_scan(sides, u, gates.bias.flatten(), gates.rate)
        return y if self.skip is None else torch.addcmul(y, self.skip, u)
