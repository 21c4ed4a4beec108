"""The weighted cross-entropy of logits in native code: `cross_entropy.cpp`.

    loss = sum_b weights[b] sum_t (log sum_v exp(x_v) - x_target)

The function of `palmette.train.segments.weighted_loss`. Nothing as large as the logits is kept
beside them; the derivative is written once. With s models at once all tensors begin with s, and
there are s losses. fp32 on a CPU.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call, row_stride, rows
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library


def cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """The scalar loss of logits [b t v] for targets [b t] under weights [b]; with s models [s].

    A negative target asks nothing. `targets` and `weights` may be shared by all models.

    Raises `ValueError` if the shapes do not belong together or a target is no place of a row,
    `NativeError` if the kernel cannot be built.
    """
    loss: Tensor = _forward(logits, targets, weights)[0]
    return loss


@torch.library.custom_op("palmette::cross_entropy", mutates_args=(), device_types="cpu")
def forward_operator(
    logits: Tensor, targets: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The loss [..], the nats of each sequence [.. b], and what is kept of each row [.. b t 2]."""
    check(logits, targets, weights)
    loss, nats, kept = _outputs(logits)
    wrong = ctypes.c_int64(0)
    _run("cross_entropy_forward", logits, targets, weights, kept, (nats, loss), wrong)
    if wrong.value:
        raise ValueError(
            f"target {int(targets.max())} is no place of a row of {logits.shape[-1]} logits"
        )
    return loss, nats, kept


@forward_operator.register_fake
def _(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    check(logits, targets, weights)
    return _outputs(logits)


def _outputs(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    *models, batch, length, _ = logits.shape
    return (
        logits.new_empty(models),
        logits.new_empty((*models, batch)),
        logits.new_empty((*models, batch, length, 2)),
    )


@torch.library.custom_op("palmette::cross_entropy_backward", mutates_args=(), device_types="cpu")
def backward_operator(
    slope: Tensor, logits: Tensor, targets: Tensor, weights: Tensor, kept: Tensor
) -> Tensor:
    """The slope by the logits."""
    by_logits = logits.new_empty(logits.shape)
    slope = slope.contiguous()
    tensors = (None, None, slope, by_logits)
    _run("cross_entropy_backward", logits, targets, weights, kept, tensors)
    return by_logits


@backward_operator.register_fake
def _(slope: Tensor, logits: Tensor, targets: Tensor, weights: Tensor, kept: Tensor) -> Tensor:
    return logits.new_empty(logits.shape)


def _keep(
    ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: tuple[Tensor, Tensor, Tensor]
) -> None:
    logits, targets, weights = inputs
    _, nats, kept = output
    ctx.save_for_backward(logits, targets, weights, nats, kept)
    ctx.mark_non_differentiable(nats, kept)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, slope: Tensor | None, *_: None) -> tuple[Tensor | None, ...]:
    logits, targets, weights, nats, kept = ctx.saved_tensors
    if slope is None:
        return None, None, None
    by_weights = None
    if ctx.needs_input_grad[2]:
        by_weights = (slope.unsqueeze(-1) * nats).sum_to_size(weights.shape)
    return _backward(slope, logits, targets, weights, kept), None, by_weights


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@forward_operator.register_vmap
def _(
    info: Any,
    where: tuple[int | None, ...],
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
) -> tuple[Any, tuple[int, int, int]]:
    logits, targets, weights = (
        x.expand(info.batch_size, *x.shape) if at is None else x.movedim(at, 0)
        for x, at in zip((logits, targets, weights), where, strict=True)
    )
    return forward_operator(logits, targets, weights), (0, 0, 0)


def check(logits: Tensor, targets: Tensor, weights: Tensor) -> None:
    """Raises `ValueError` if the shapes or types do not go together."""
    shape = tuple(logits.shape)
    if (
        len(shape) not in (3, 4)
        or tuple(targets.shape) not in (shape[:-1], shape[-3:-1])
        or tuple(weights.shape) not in (shape[:-2], shape[-3:-2])
    ):
        raise ValueError(
            "logits are [b t v] or [s b t v], targets [b t], weights [b]; not "
            f"{list(shape)}, {list(targets.shape)}, {list(weights.shape)}"
        )
    if (logits.dtype, targets.dtype, weights.dtype) != (torch.float32, torch.int64, torch.float32):
        raise ValueError("native kernels are for fp32; targets are whole numbers of 64 bits")


def _run(
    way: str,
    logits: Tensor,
    targets: Tensor,
    weights: Tensor,
    kept: Tensor,
    others: tuple[Tensor | None, ...],
    wrong: ctypes.c_int64 | None = None,
) -> None:
    """`others` are the nats, the loss, its slope, and the slope by the logits, as far as needed."""
    nats, loss, slope, by_logits = (*others, None, None)[:4]
    logits = rows(logits)
    *models, batch, length, size = logits.shape
    targets = targets.expand(logits.shape[:-1]).contiguous()
    weights = weights.expand(logits.shape[:-2]).contiguous()
    call(
        getattr(library("cross_entropy"), way),
        *map(address, (logits, targets, weights, kept, nats, loss, slope, by_logits)),
        *(models[0] if models else 1, batch, length, size, row_stride(logits)),
        *(torch.get_num_threads(), 0 if wrong is None else ctypes.addressof(wrong)),
    )
