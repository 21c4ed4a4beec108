"""`torch.nn.Linear`, natively."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from palmette.ops._form import Form
from palmette.ops.kernels.native.linear import linear

FEW = 8  # rows


class NativeLinear(nn.Linear, Form):
    """y = x W^T + b by kernels of our own, which are made for the sizes that models have here."""

    name: ClassVar[str] = "linear"
    stands_for: ClassVar[type[nn.Module]] = nn.Linear

    @classmethod
    def suits(cls, module: nn.Module) -> bool:
        """In fp32."""
        return isinstance(module, nn.Linear) and module.weight.dtype == torch.float32

    def forward(self, input: Tensor) -> Tensor:
        """x [... k] to y [... n]; a few rows cost least in torch, which has the shorter way."""
        if input.numel() < FEW * self.in_features:
            return super().forward(input)
        return linear(input, self.weight, self.bias)
