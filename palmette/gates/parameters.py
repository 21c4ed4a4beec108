"""Parameters are counted, all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from palmette.gates._base import Gate, GateFailure, Subject, run


class Parameters(Gate):
    """The number of trainable scalars is what the closed form says, and none hides from the count.

    Shared ones count once, and the number may not grow when the module runs. A tensor that wants a
    gradient and is kept outside `parameters()` (in a list or as a plain attribute) would neither be
    counted nor trained nor saved.
    """

    name = "parameters"

    def check(self, subject: Subject) -> str:
        """The number."""
        model = subject.fresh(training=True)
        built = count(model)
        run(model, subject.inputs(16))
        after = count(model)
        if after != built:
            raise GateFailure(f"has {built:,} parameters before its first call and {after:,} after")
        known = {id(parameter) for parameter in model.parameters()}
        hidden = [
            f"{path}.{name}".strip(".")
            for path, module in model.named_modules()
            for name, tensor in loose(vars(module))
            if tensor.requires_grad and tensor.is_leaf and id(tensor) not in known
        ]
        if hidden:
            raise GateFailure(f"keeps trainable tensors outside parameters(): {', '.join(hidden)}")
        if subject.parameters is not None and built != subject.parameters:
            raise GateFailure(
                f"{built:,} are built but the closed form says {subject.parameters:,}"
            )
        closed = "as the closed form says" if subject.parameters is not None else "none hidden"
        return f"{built:,} parameters, {closed}"


def count(model: nn.Module) -> int:
    """Trainable scalars, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def loose(held: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Tensors in attributes, lists and dictionaries, apart from those that torch registers."""
    if isinstance(held, Tensor):
        yield place, held
    elif depth < 4 and isinstance(held, dict):
        for key, value in held.items():
            if key not in ("_parameters", "_modules"):
                yield from loose(value, f"{place}.{key}".strip("."), depth + 1)
    elif depth < 4 and isinstance(held, (list, tuple, set)):
        for number, value in enumerate(held):
            yield from loose(value, f"{place}[{number}]", depth + 1)
    elif depth < 4 and isinstance(held, nn.Module) and depth > 1:  # a module kept in a plain list
        for name, parameter in held.named_parameters():
            yield f"{place}.{name}", parameter
    elif isinstance(held, torch.nn.ParameterList):
        return
