"""What the machine is that a ratio was measured on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from statistics import median
from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.compiler import NativeError
from palmette.ops.kernels.native.library import described, unavailable
from palmette.ops.kernels.native.linear import linear
from palmette.train.machine import machine

GEMM = (4096, 64, 192)


def host() -> dict[str, Any]:
    """The processor, instructions, cores, versions, load and the rate of matrix products here."""
    try:
        native = described()
    except NativeError as error:
        native = f"none: {error}"
    return {
        "machine": machine(),
        "cores": os.cpu_count(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "native": native,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "load_average": os.getloadavg()[0],
        "gemm_shape": list(GEMM),
        "gemm_gflops": rates(),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def rates() -> dict[str, float]:
    """The rate of [m k] x [k n] by torch's library and by our kernel, GFLOP/s of one thread."""
    found = {"torch.mm": gemm_rate(torch.mm)}
    if unavailable() is None:
        found["native linear"] = gemm_rate(linear_of(linear))
    return found


def linear_of(function: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """A product with a weight as a product of matrices, the weight turned beforehand."""
    turned: dict[int, Tensor] = {}

    def product(left: Tensor, right: Tensor) -> Tensor:
        if id(right) not in turned:
            turned[id(right)] = right.T.contiguous()
        return function(left, turned[id(right)], None)

    return product


@torch.no_grad()
def gemm_rate(
    product: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, int, int] = GEMM, runs: int = 200
) -> float:
    """The rate in GFLOP/s of products [m k] x [k n] on one thread, the median of process times."""
    m, k, n = shape
    left, right = torch.randn(m, k), torch.randn(k, n)
    for _ in range(5):
        product(left, right)
    taken = []
    for _ in range(runs):
        began = time.process_time_ns()
        product(left, right)
        taken.append(time.process_time_ns() - began)
    return 2 * m * k * n / median(taken)
