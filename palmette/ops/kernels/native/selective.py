"""K4 with n states a channel in native code: `selective.cpp` has the equations.

Mamba's selective scan, with the step's softplus and its projection from a low rank, and S4D-Real's
constant one, each with the skip around it. Between two chunks of 16 tokens the states are kept, all
others are made again. With s models at once all tensors begin with s. fp32 on a CPU.
"""

from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.linear import fold

Parameters = tuple[Tensor | None, Tensor | None, Tensor, Tensor | None, Tensor | None]
Slopes = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


def selective_scan(
    u: Tensor, gates: Tensor, up: Tensor, bias: Tensor, log_rate: Tensor, skip: Tensor | None = None
) -> Tensor:
    """y [b t d] of u [b t d], by what each token says in gates [b t r + 2 n]: low, write, read.

    up [d r] and bias [d] make the step of `low`; log_rate [d n]; skip [d]. With s models all have
    a leading s. Raises `ValueError` if the shapes do not belong together, `NativeError` if the
    kernel cannot be built.
    """
    y: Tensor = _forward(u, gates, up, bias, log_rate, None, skip)[0]
    return y


def constant_scan(u: Tensor, decay: Tensor, reading: Tensor, skip: Tensor | None = None) -> Tensor:
    """y [b t d] of u [b t d] by decay [d n] and reading [d n]; skip [d]. With s models as above."""
    y: Tensor = _forward(u, None, None, None, decay, reading, skip)[0]
    return y


@torch.library.custom_op("palmette::selective", mutates_args=(), device_types="cpu")
def forward_operator(
    u: Tensor,
    gates: Tensor | None,
    up: Tensor | None,
    bias: Tensor | None,
    rate: Tensor,
    reading: Tensor | None,
    skip: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """y [.. b t d], and the states before each chunk of tokens."""
    parameters = (up, bias, rate, reading, skip)
    check(u, gates, parameters)
    y, kept = _outputs(u, rate)
    _run("selective_forward", u, gates, parameters, (y, kept, None), (None,) * 7)
    return y, kept


@forward_operator.register_fake
def _(
    u: Tensor,
    gates: Tensor | None,
    up: Tensor | None,
    bias: Tensor | None,
    rate: Tensor,
    reading: Tensor | None,
    skip: Tensor | None,
) -> tuple[Tensor, Tensor]:
    check(u, gates, (up, bias, rate, reading, skip))
    return _outputs(u, rate)


def _outputs(u: Tensor, rate: Tensor) -> tuple[Tensor, Tensor]:
    chunks = -(-u.shape[-2] // CHUNK)
    states = rate.shape[-1] * (-(-u.shape[-1] // LANES) * LANES)
    return u.new_empty(u.shape), u.new_empty((*u.shape[:-2], chunks, states))


@torch.library.custom_op("palmette::selective_backward", mutates_args=(), device_types="cpu")
def backward_operator(
    slope: Tensor,
    u: Tensor,
    gates: Tensor | None,
    up: Tensor | None,
    bias: Tensor | None,
    rate: Tensor,
    reading: Tensor | None,
    skip: Tensor | None,
    kept: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The slopes by u, gates and the parameters; empty for those that are not there."""
    parameters = (up, bias, rate, reading, skip)
    found = _slopes(u, gates, parameters)
    wanted = tuple(
        None if given is None else one
        for given, one in zip((u, gates, *parameters), found, strict=True)
    )
    slope = slope.contiguous()
    _run("selective_backward", u, gates, parameters, (None, kept, slope), wanted)
    return found


@backward_operator.register_fake
def _(
    slope: Tensor,
    u: Tensor,
    gates: Tensor | None,
    up: Tensor | None,
    bias: Tensor | None,
    rate: Tensor,
    reading: Tensor | None,
    skip: Tensor | None,
    kept: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _slopes(u, gates, (up, bias, rate, reading, skip))


def _slopes(u: Tensor, gates: Tensor | None, parameters: Parameters) -> Slopes:
    empty = [u.new_empty(0 if given is None else given.shape) for given in (u, gates, *parameters)]
    return empty[0], empty[1], empty[2], empty[3], empty[4], empty[5], empty[6]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.save_for_backward(*inputs, output[1])
    ctx.mark_non_differentiable(output[1])
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, slope: Tensor | None, _: None) -> tuple[Tensor | None, ...]:
    *given, kept = ctx.saved_tensors
    if slope is None:
        return (None,) * len(given)
    found = _backward(slope, *given, kept)
    return tuple(None if x is None else one for x, one in zip(given, found, strict=True))


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@forward_operator.register_vmap
def _(info: Any, where: tuple[int | None, ...], *given: Any) -> tuple[Any, tuple[int, int]]:
    return forward_operator(*fold(info, where, given, False)), (0, 0)


def check(u: Tensor, gates: Tensor | None, parameters: Parameters) -> None:
    """Raises `ValueError` if the shapes do not go together or something is not fp32."""
    up, bias, rate, reading, skip = parameters
    if u.ndim not in (3, 4):
        raise ValueError(f"u is [b t d] or [s b t d], not {list(u.shape)}")
    *models, _, _, d = u.shape
    n, r = rate.shape[-1], 0 if up is None else up.shape[-1]
    faults = [
        f"{name} {list(x.shape)} (not {wanted})"
        for name, x, wanted in (
            ("gates", gates, [*u.shape[:-1], r + 2 * n]),
            ("up", up, [*models, d, r]),
            ("bias", bias, [*models, d]),
            ("rate", rate, [*models, d, n]),
            ("reading", reading, [*models, d, n]),
            ("skip", skip, [*models, d]),
        )
        if x is not None and list(x.shape) != wanted
    ]
    if faults:
        raise ValueError(f"beside u {list(u.shape)}: " + ", ".join(faults))
    if len({gates is None, up is None, bias is None, reading is not None}) > 1:
        raise ValueError("a scan is selective, with gates, up and bias, or has a reading")
    if any(x is not None and x.dtype != torch.float32 for x in (u, gates, *parameters)):
        raise ValueError("native kernels are for fp32")


CHUNK, LANES = 16, 16  # kept is sized for the widest vectors


def rows(x: Tensor | None) -> tuple[Tensor | None, int, int]:
    """The tensor [.. b t d], its features side by side, and how far sequences and tokens are."""
    if x is None:
        return None, 0, 0
    if x.stride(-1) != 1 or (x.ndim == 4 and x.stride(0) != x.stride(1) * x.shape[1]):
        x = x.contiguous()
    return x, x.stride(-3), x.stride(-2)


def _run(
    way: str,
    u: Tensor,
    gates: Tensor | None,
    parameters: Parameters,
    tensors: tuple[Tensor | None, Tensor, Tensor | None],
    slopes: tuple[Tensor | None, ...],
) -> None:
    *models, batch, length, channels = u.shape
    s = models[0] if models else 1
    (u_rows, *u_strides), (gate_rows, *gate_strides) = rows(u), rows(gates)
    up, bias, rate, reading, skip = (x if x is None else x.contiguous() for x in parameters)
    assert rate is not None
    y, kept, slope = tensors
    call(
        getattr(library("selective"), way),
        *(address(u_rows), *u_strides, address(gate_rows), *gate_strides),
        *map(address, (up, bias, rate, reading, skip, y, kept)),
        *(s, s * batch, length, channels, rate.shape[-1], 0 if up is None else up.shape[-1]),
        *(gates is None, torch.get_num_threads()),
        *map(address, (slope, *slopes)),
        0,
    )
