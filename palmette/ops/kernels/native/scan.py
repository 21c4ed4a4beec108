"""K4 in native code: the diagonal scan, h_t = a_t h_{t-1} + x_t, and the gates that make a and x.

`scan.cpp` has the equations of HGRN's and the RG-LRU's. With s models at once all tensors begin
with s. fp32 on a CPU.
"""

from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.linear import fold
from palmette.ops.kernels.native.selective import rows

PLAIN, HGRN, RGLRU = 0, 1, 2


def scan(a: Tensor, x: Tensor) -> Tensor:
    """The state after each token [b t d], from zero; a and x [b t d], or [s b t d].

    Raises `ValueError` if the shapes do not belong together, `NativeError` if the kernel cannot be
    built. So do the others.
    """
    return _forward(a, x, None, None, PLAIN)  # type: ignore[no-any-return]


def hgrn_scan(z: Tensor, u: Tensor, floor: Tensor) -> Tensor:
    """HGRN's states [b t d], of gates z and inputs u [b t d] over floor [d]; or all with s."""
    return _forward(z, u, floor, None, HGRN)  # type: ignore[no-any-return]


def rglru_scan(gates: Tensor, u: Tensor, bias: Tensor, rate: Tensor) -> Tensor:
    """The RG-LRU's states [b t d], of r and i side by side in gates [b t 2 d] and inputs u [b t d].

    bias [2 d] is added to the gates; rate [d]; or all with s.
    """
    return _forward(gates, u, bias, rate, RGLRU)  # type: ignore[no-any-return]


@torch.library.custom_op("palmette::scan", mutates_args=(), device_types="cpu")
def forward_operator(
    gates: Tensor, u: Tensor, bias: Tensor | None, rate: Tensor | None, kind: int
) -> Tensor:
    """The states [.. b t d]."""
    check(gates, u, bias, rate, kind)
    states = u.new_empty(u.shape)
    _run("scan_forward", gates, u, bias, rate, kind, states, None, (None,) * 4)
    return states


@forward_operator.register_fake
def _(gates: Tensor, u: Tensor, bias: Tensor | None, rate: Tensor | None, kind: int) -> Tensor:
    check(gates, u, bias, rate, kind)
    return u.new_empty(u.shape)


@torch.library.custom_op("palmette::scan_backward", mutates_args=(), device_types="cpu")
def backward_operator(
    slope: Tensor,
    gates: Tensor,
    u: Tensor,
    bias: Tensor | None,
    rate: Tensor | None,
    states: Tensor,
    kind: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The slopes by gates, u, bias and rate; empty for those that are not there."""
    found = _slopes(gates, u, bias, rate)
    slope = slope.contiguous()
    _run("scan_backward", gates, u, bias, rate, kind, states, slope, found)
    return found


@backward_operator.register_fake
def _(
    slope: Tensor,
    gates: Tensor,
    u: Tensor,
    bias: Tensor | None,
    rate: Tensor | None,
    states: Tensor,
    kind: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return _slopes(gates, u, bias, rate)


def _slopes(
    gates: Tensor, u: Tensor, bias: Tensor | None, rate: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    first, second, third, fourth = (
        u.new_empty(0 if given is None else given.shape) for given in (gates, u, bias, rate)
    )
    return first, second, third, fourth


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    *given, ctx.kind = inputs
    ctx.save_for_backward(*given, output)


def _differentiate(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
    *given, states = ctx.saved_tensors
    found = _backward(slope, *given, states, ctx.kind)
    slopes = (None if x is None else one for x, one in zip(given, found, strict=True))
    return (*slopes, None)


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@forward_operator.register_vmap
def _(info: Any, where: tuple[int | None, ...], *given: Any) -> tuple[Tensor, int]:
    return forward_operator(*fold(info, where[:4], given[:4], False), given[4]), 0


def check(gates: Tensor, u: Tensor, bias: Tensor | None, rate: Tensor | None, kind: int) -> None:
    """Raises `ValueError` if the shapes do not go together or something is not fp32."""
    *models, _, _, d = (1, 1, *u.shape) if u.ndim < 3 else u.shape
    wanted = {
        PLAIN: ([*u.shape], None, None),
        HGRN: ([*u.shape], [*models, d], None),
        RGLRU: ([*u.shape[:-1], 2 * d], [*models, 2 * d], [*models, d]),
    }[kind]
    given = [None if x is None else list(x.shape) for x in (gates, bias, rate)]
    if u.ndim not in (3, 4) or given != list(wanted):
        raise ValueError(f"beside u {list(u.shape)}: {given}, where {list(wanted)} belong")
    if any(x is not None and x.dtype != torch.float32 for x in (gates, u, bias, rate)):
        raise ValueError("native kernels are for fp32")


def _run(
    way: str,
    gates: Tensor,
    u: Tensor,
    bias: Tensor | None,
    rate: Tensor | None,
    kind: int,
    states: Tensor,
    slope: Tensor | None,
    slopes: tuple[Tensor | None, ...],
) -> None:
    *models, batch, length, channels = u.shape
    s = models[0] if models else 1
    (gate_rows, *gate_strides), (u_rows, *u_strides) = rows(gates), rows(u)
    bias, rate = (x if x is None else x.contiguous() for x in (bias, rate))
    call(
        getattr(library("scan"), way),
        *(address(gate_rows), *gate_strides, address(u_rows), *u_strides),
        *map(address, (bias, rate, states)),
        *(s, s * batch, length, channels, kind, torch.get_num_threads()),
        *map(address, (slope, *slopes)),
        0,
    )
