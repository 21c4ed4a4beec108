"""Pointwise functions by name."""

import torch
import torch.nn.functional as F
from torch import Tensor


def activate(x: Tensor, name: str) -> Tensor:
    """Applies the pointwise function `name`; relu2 is relu(x)^2 (Primer, arXiv 2109.08668)."""
    if name == "identity":
        return x
    if name == "relu2":
        return F.relu(x).square()
    if name == "sigmoid":
        return torch.sigmoid(x)
    if name == "silu":
        return F.silu(x)
    if name == "gelu":
        return F.gelu(x)
    assert name == "relu", f"no activation is called {name!r}"
    return F.relu(x)
