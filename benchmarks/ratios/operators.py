"""The native recurrence as the rows call it."""

from __future__ import annotations

from torch import Tensor

from palmette.ops.kernels.recurrence import recurrence_chunked


def native_recurrence(*terms: Tensor | None) -> Tensor:
    """The output [b h t v] of the native recurrence for q, k, v, log_decay, a, b and the bonus."""
    try:
        from palmette.ops.kernels.native.recurrence import recurrence
    except ImportError:
        return torch_recurrence(*terms)
    return recurrence(*terms)[0]


def torch_recurrence(*terms: Tensor | None) -> Tensor:
    """The same by our torch chunk form, at the chunk that the layer takes."""
    chunk = 32 if terms[4] is None else 16
    return recurrence_chunked(*terms, chunk=chunk)[0]  # type: ignore[arg-type, misc]
