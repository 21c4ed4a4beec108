"""Work, counted operator by operator as torch runs them; no clock is read.

Every operator below autograd is seen, so what a library function is made of, and what backward
does, is seen too. An operator of someone's own, written in another language, is one operator here,
and what happens inside numpy is not seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from palmette.gates._base import Subject, run

aten = torch.ops.aten
READS_LITTLE = {  # of their first input they read what the output holds, no more
    aten.index,
    aten.gather,
    aten.index_select,
    aten.embedding,
    aten.take,
    aten._unsafe_index,
}
WRITES_LITTLE = {aten.index_put_, aten.scatter_, aten.scatter_add_, aten.index_add_}


class Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered.

    flops      of matrix products, convolutions, attention, triangular solves, transforms: two a
               multiply-add
    elements   read and written by all operators
    operators  how many ran
    dtypes     of every tensor with more than one element, with an operator that made one
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = self.elements = self.products = 0.0
        self.operators = 0
        self.dtypes: dict[torch.dtype, str] = {}

    @property
    def total(self) -> float:
        """FLOPs and elements together: nothing that is done is in neither."""
        return self.flops + self.elements

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the operator and counts it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.operators += 1
        if func.is_view or func is aten.detach.default:
            return result
        outputs, inputs = list(_tensors(result)), list(_tensors(args))
        for tensor in outputs:
            if tensor.dtype not in self.dtypes and tensor.numel() > 1:
                self.dtypes[tensor.dtype] = str(func)
        packet = func.overloadpacket
        formula = flop_registry.get(packet) or EXTRA.get(packet)
        if formula is not None:
            self.flops += float(formula(*args, **kwargs, out_val=result))
        elif outputs and outputs[0].is_floating_point():
            self.products += sum(tensor.numel() for tensor in outputs)
        written = outputs[1:] if packet in WRITES_LITTLE else outputs
        read = inputs[1:] if packet in READS_LITTLE | WRITES_LITTLE else inputs
        self.elements += sum(_size(tensor) for tensor in written)
        self.elements += sum(_size(tensor) for tensor in read)
        return result


def work_of(subject: Subject, length: int, *, backward: bool) -> tuple[Work, int]:
    """The work of one sequence in training mode, and the elements saved for backward."""
    model = subject.fresh(training=True)
    x = subject.inputs(length, rows=1)
    x.requires_grad_(x.is_floating_point())  # a layer hands a gradient on to what stands before it
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    work = Work()
    with work, saved_tensors_hooks(keep, lambda tensor: tensor):
        y = run(model, x)
        if backward and y.requires_grad:
            y.sum().backward()  # type: ignore[no-untyped-call]
    return work, sum(saved.values())


def forward_work(model: nn.Module, x: Tensor) -> Work:
    """The work of one call without gradients."""
    work = Work()
    with torch.no_grad(), work:
        run(model, x)
    return work


def _tensors(given: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples and lists."""
    if isinstance(given, Tensor):
        yield given
    elif isinstance(given, (tuple, list)):
        for each in given:
            yield from _tensors(each)


def _size(tensor: Tensor) -> int:
    """How many elements there are in memory: an expanded one is there once."""
    if tensor.is_contiguous():
        return tensor.numel()
    spread = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        spread *= size if stride else 1
    return spread


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> float:
    pairs = math.prod(query.shape[:-1]) * key.shape[-2]
    return 2.0 * pairs * (query.shape[-1] + value.shape[-1])


def _attention_backward(
    slope: Tensor, query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any
) -> float:
    return 2.5 * _attention(query, key, value)


def _solve(matrix: Tensor, right: Tensor, *_: Any, out_val: Any, **__: Any) -> float:
    solution = out_val if isinstance(out_val, Tensor) else out_val[0]
    return float(matrix.shape[-1] * max(solution.numel(), right.numel()))


def _cube(matrix: Tensor, *_: Any, **__: Any) -> float:
    return 2.0 * matrix.numel() * min(matrix.shape[-2:])


def _transform(x: Tensor, *_: Any, out_val: Tensor, **__: Any) -> float:
    size = max(x.numel(), out_val.numel())
    return 2.5 * size * math.log2(max(2, max(x.shape)))


def _distances(one: Tensor, two: Tensor, *_: Any, **__: Any) -> float:
    return 3.0 * one.numel() * two.shape[-2]


def _formulas() -> dict[Any, Callable[..., float]]:
    """Formulas for operators that torch's own counter leaves out, where this torch has them."""
    named: dict[str, Callable[..., float]] = {
        "_scaled_dot_product_flash_attention_for_cpu": _attention,
        "_scaled_dot_product_flash_attention_for_cpu_backward": _attention_backward,
        "_scaled_dot_product_attention_math": _attention,
        "linalg_solve_triangular": _solve,
        "triangular_solve": lambda right, matrix, *a, **k: _solve(matrix, right, *a, **k),
        "_linalg_solve_ex": _solve,
        "linalg_inv_ex": _cube,
        "linalg_lu_factor_ex": _cube,
        "linalg_cholesky_ex": _cube,
        "_linalg_svd": _cube,
        "linalg_qr": _cube,
        "_linalg_eigh": _cube,
        "_cdist_forward": _distances,
        "_fft_r2c": _transform,
        "_fft_c2c": _transform,
        "_fft_c2r": _transform,
    }
    return {getattr(aten, name): f for name, f in named.items() if hasattr(aten, name)}


EXTRA = _formulas()
