"""Token ids to features in native code: `embedding.cpp`.

    x_t = factor * table[id_t] + places[t]

With s models at once all tensors begin with s, save ids that all of them share. fp32 on a CPU.
"""

import ctypes
from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.call import address, call
from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.library import library
from palmette.ops.kernels.native.linear import bits, fold


def embedding(table: Tensor, places: Tensor | None, ids: Tensor, factor: float) -> Tensor:
    """The features [b t d] of ids [b t] by table [v d], plus places [t d]; or with s models.

    Raises `IndexError` if an id is no row of the table, `ValueError` if the shapes do not belong
    together, `NativeError` if the kernel cannot be built.
    """
    return _forward(table, places, ids, factor)  # type: ignore[no-any-return]


@torch.library.custom_op("palmette::embedding", mutates_args=(), device_types="cpu")
def forward_operator(table: Tensor, places: Tensor | None, ids: Tensor, factor: float) -> Tensor:
    """The features [.. b t d]."""
    found = _output(table, places, ids)
    wrong = ctypes.c_int64(0)
    _run("embedding_forward", table, places, ids, factor, found, wrong, (None,) * 3)
    if wrong.value:
        raise IndexError(
            f"ids are from {int(ids.min())} to {int(ids.max())}, but the table has "
            f"{table.shape[-2]} rows"
        )
    return found


@forward_operator.register_fake
def _(table: Tensor, places: Tensor | None, ids: Tensor, factor: float) -> Tensor:
    return _output(table, places, ids)


def _output(table: Tensor, places: Tensor | None, ids: Tensor) -> Tensor:
    *models, _, width = table.shape
    fits = (
        len(models) < 2
        and ids.dtype == torch.int64
        and ids.ndim in (2, 2 + len(models))
        and list(ids.shape[:-2]) in ([], models)
        and (places is None or list(places.shape) == [*models, ids.shape[-1], width])
    )
    if not fits:
        raise ValueError(
            f"ids {list(ids.shape)} of {ids.dtype}, a table {list(table.shape)} and places "
            f"{None if places is None else list(places.shape)} do not belong together"
        )
    if table.dtype != torch.float32 or (places is not None and places.dtype != torch.float32):
        raise ValueError("native kernels are for fp32")
    return table.new_empty((*models, *ids.shape[-2:], width))


@torch.library.custom_op("palmette::embedding_backward", mutates_args=(), device_types="cpu")
def backward_operator(
    slope: Tensor, table: Tensor, places: Tensor | None, ids: Tensor, factor: float
) -> tuple[Tensor, Tensor]:
    """The slopes by the table and the places; empty if there are none."""
    by_table, by_places = _slopes(table, places)
    slope = slope.contiguous()
    tensors = (slope, by_table, by_places)
    _run("embedding_backward", table, places, ids, factor, None, None, tensors)
    return by_table, by_places


@backward_operator.register_fake
def _(
    slope: Tensor, table: Tensor, places: Tensor | None, ids: Tensor, factor: float
) -> tuple[Tensor, Tensor]:
    return _slopes(table, places)


def _slopes(table: Tensor, places: Tensor | None) -> tuple[Tensor, Tensor]:
    shape = (0,) if places is None else places.shape
    return table.new_empty(table.shape), table.new_empty(shape)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    table, places, ids, ctx.factor = inputs
    ctx.save_for_backward(table, places, ids)


def _differentiate(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
    table, places, ids = ctx.saved_tensors
    by_table, by_places = _backward(slope, table, places, ids, ctx.factor)
    return by_table, None if places is None else by_places, None, None


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@forward_operator.register_vmap
def _(
    info: Any,
    where: tuple[int | None, ...],
    table: Tensor,
    places: Tensor | None,
    ids: Tensor,
    factor: float,
) -> tuple[Tensor, int]:
    tensors = fold(info, where[:3], (table, places, ids), False)
    return forward_operator(*tensors, factor), 0


def _run(
    way: str,
    table: Tensor,
    places: Tensor | None,
    ids: Tensor,
    factor: float,
    found: Tensor | None,
    wrong: ctypes.c_int64 | None,
    slopes: tuple[Tensor | None, ...],
) -> None:
    *models, size, width = table.shape
    table, places = table.contiguous(), None if places is None else places.contiguous()
    ids = ids.expand(*models, *ids.shape[-2:]).contiguous()
    call(
        getattr(library("embedding"), way),
        *map(address, (ids, table, places, found)),
        bits(factor),
        *(models[0] if models else 1, *ids.shape[-2:], size, width, torch.get_num_threads()),
        0 if wrong is None else ctypes.addressof(wrong),
        *map(address, slopes),
    )
