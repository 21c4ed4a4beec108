"""Native forms of modules: the same parameters and the same function, computed by native kernels.

A form is a subclass of a module class that adds no state and overrides what it computes faster. A
model is built in torch and then *adopted*: every module whose class has a form becomes of that
class. A new form is a new file here.
"""

from collections.abc import Iterator
from functools import cache

from torch import nn

from palmette.ops._form import Form
from palmette.ops.kernels.native.compiler import NativeError
from palmette.ops.kernels.native.library import unavailable
from palmette.registry import Registry

KERNELS = ("torch", "native")
"""The forms of kernels that a model can be built with."""

PACKED = {"native-packed": "native"}
"""Kernels of trials that may be trained several at once (`train/pack.py`): sums are then taken in
another order, so their numbers are others. Each with the form that their models are built with.
"""

COMPILED = {"torch-compiled": "torch", "native-compiled": "native"}
"""Kernels of trials whose models torch.compile has gone over, block by block
(`train/compiling.py`), each with the form that the models are built with.
"""

forms: Registry[Form] = Registry("form", "palmette.ops.forms", Form)
"""Every native form by name."""


@cache
def _by_class() -> dict[type[nn.Module], type[Form]]:
    return {form.stands_for: form for form in forms}


def adopt(model: nn.Module) -> nn.Module:
    """Gives the modules of a model their native forms, in place, where they have one.

    Below a module with `second_order` (it differentiates its parts itself) all stays torch: native
    kernels have a first derivative alone. Raises `NativeError` if there are none on this machine.
    """
    if reason := unavailable():
        raise NativeError(f"native kernels are not to be had here: {reason}")
    for module in list(_first_order(model)):
        form = _by_class().get(type(module))
        if form is not None and form.suits(module):
            module.__class__ = form  # type: ignore[assignment]
    return model


def _first_order(module: nn.Module) -> Iterator[nn.Module]:
    if getattr(module, "second_order", False):
        return
    yield module
    for child in module.children():
        yield from _first_order(child)
