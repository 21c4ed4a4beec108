"""What a kernel is called with: one table of whole numbers, which are sizes, addresses and strides.

In C++ it is a struct of int64_t and pointers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any

from torch import Tensor


@cache
def _table(size: int) -> Struct:
    return Struct(f"{size}q")  # a third of the time of an array of ctypes


def call(function: Callable[..., Any], *values: int) -> None:
    """Calls a kernel that takes the address of its table and returns whether there was memory.

    Raises `MemoryError` if there was not.
    """
    if not function(_table(len(values)).pack(*values)):
        raise MemoryError(f"no memory for the work space of {function.__name__}")


def address(x: Tensor | None) -> int:
    """Where the tensor's first element is; 0 if there is no tensor."""
    return 0 if x is None else x.data_ptr()


def rows(x: Tensor) -> Tensor:
    """x [.. d] as rows that are equally far apart, each in one piece: x itself where it is so."""
    *shape, width = x.shape
    if x.stride(-1) == 1 or width == 1:
        step = x.stride(-2)
        for dimension in range(x.ndim - 2, -1, -1):
            if shape[dimension] != 1 and x.stride(dimension) != step:
                break
            step *= shape[dimension]
        else:
            if step:
                return x
    return x.contiguous()


def row_stride(x: Tensor | None) -> int:
    """Elements from one row of `rows(x)` to the next."""
    if x is None:
        return 0
    dimension = x.ndim - 2
    while dimension > 0 and x.shape[dimension] == 1:
        dimension -= 1
    return x.stride(dimension) if x.shape[dimension] != 1 else x.shape[-1]
