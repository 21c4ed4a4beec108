"""transformers' torch operators in the place of ours, in modules with our weights.

Each form takes what the published layer gives to its operator, in the layout that the operator
wants, and leaves everything else of our torch module as it is: so what differs is the operator.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palmette.model import build_at
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops._lin_parts import unit_length
from palmette.ops.kernels.convolution import convolution
from palmette.train import loop


def mamba_chunk(length: int) -> int:
    """The chunk at which their scan is fastest here: of 16 to 256, 32 at t = 128 and 64 at 256.

    The configuration's is 256, at which it takes four to seven times as long.
    """
    return 32 if length <= 128 else 64


class GatedDelta(LinearRecurrence):
    """The gated delta rule by `torch_chunk_gated_delta_rule` of qwen3_next."""

    def forward(self, x: Tensor) -> Tensor:
        from transformers.models.qwen3_next.modeling_qwen3_next import torch_chunk_gated_delta_rule

        streams, *gates = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            streams = self._activated(convolution(streams, self.taps, self.bias))
        gate, beta, _, dt, _, _, _ = gates
        q, k, _, v = torch.split(streams, self.streams, -1)
        q, k = (y.unflatten(-1, (self.key_heads, -1)) for y in (q, k))
        if self.decay == "scalar":
            g = (-self.A_log.exp() * F.softplus(dt + self.dt_bias)).clamp(min=-20.0)
        else:
            g = torch.zeros_like(beta)
        o, _ = torch_chunk_gated_delta_rule(
            q,
            k,
            v.unflatten(-1, (self.heads, -1)),
            g=g,
            beta=torch.sigmoid(beta),
            use_qk_l2norm_in_kernel=True,
        )
        o = o.transpose(1, 2)
        return self._output(o, o, None, gate)  # its values are read for a skip alone

    @staticmethod
    def suits(module: LinearRecurrence) -> bool:
        """Whether its function is that of the operator."""
        return (
            module.erase == "beta"
            and module.decay in ("none", "scalar")
            and (module.write, module.read, module.feature) == ("raw", "inclusive", "identity")
            and module.householders == 1
            and module.skip is None
            and not module.rotary
            and module.bias is None
        )


class Mamba2(LinearRecurrence):
    """The scan of Mamba-2 by `mamba2_chunk_scan`."""

    def forward(self, x: Tensor) -> Tensor:
        from transformers.models.mamba2.modeling_mamba2 import mamba2_chunk_scan

        streams, *gates = self.project(x).split(self.widths, -1)
        if self.taps is not None:
            streams = self._activated(convolution(streams, self.taps, self.bias))
        gate, _, _, dt, _, _, _ = gates
        q, k, _, v = torch.split(streams, self.streams, -1)
        o = mamba2_chunk_scan(
            v.unflatten(-1, (self.heads, -1)),
            dt,
            -self.A_log.exp(),
            k.unflatten(-1, (self.key_heads, -1)),
            q.unflatten(-1, (self.key_heads, -1)),
            chunk_size=mamba_chunk(x.shape[1]),
            D=self.skip,
            dt_bias=self.dt_bias,
            dt_softplus=True,
        )
        skip, self.skip = self.skip, None  # it is in the scan already
        try:
            o = o.transpose(1, 2)
            return self._output(o, o, None, gate)
        finally:
            self.skip = skip

    @staticmethod
    def suits(module: LinearRecurrence) -> bool:
        """Whether its function is that of the operator."""
        return (
            (module.erase, module.decay, module.write) == ("none", "scalar", "dt")
            and (module.read, module.feature) == ("inclusive", "identity")
            and module.householders == 1
            and not module.rotary
            and (module.taps is not None or module.bias is None)
        )


def transplant(model: nn.Module) -> nn.Module:
    """Puts their operators wherever they compute what ours does, in place."""
    for module in model.modules():
        if type(module) is LinearRecurrence:
            for form in (GatedDelta, Mamba2):
                if form.suits(module):
                    module.__class__ = form
                    break
    return model


def gated_delta_operands(
    batch: int, length: int, heads: int, size: int, seed: int = 0
) -> dict[str, Tensor]:
    """q, k of unit length, v [b t h *], g and beta [b t h], as the published layer makes them."""
    rng = torch.Generator().manual_seed(seed)
    q, k, v = (torch.randn(batch, length, heads, size, generator=rng) for _ in range(3))
    raw_g, raw_beta = (torch.randn(batch, length, heads, generator=rng) for _ in range(2))
    made = {
        "q": unit_length(q),
        "k": unit_length(k),
        "v": v,
        "g": -F.softplus(raw_g),
        "beta": torch.sigmoid(raw_beta),
    }
    return {name: tensor.requires_grad_() for name, tensor in made.items()}


@contextmanager
def planted() -> Iterator[None]:
    """Models that are built for trials meanwhile have their operators where there is one."""

    def build(*given: Any, **named: Any) -> nn.Module:
        return transplant(build_at(*given, **named))

    with patch.object(loop, "build_at", build):
        yield
