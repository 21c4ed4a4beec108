"""What a module reads, as numbers that can be changed or differentiated.

A layer reads features. A model reads ids, and turns them into features by looking them up in a
table; the tap stands behind that look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from palmette.gates._base import run

Change: TypeAlias = Callable[[Tensor], Tensor]  # features [b t …] to others of that shape


class Tap(TorchFunctionMode):
    """Puts a change behind every look-up of the ids [b t] in a table of floats."""

    def __init__(self, ids: Tensor, change: Change) -> None:
        super().__init__()
        self.shape, self.change, self.seen = ids.shape, change, 0

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Runs the function; a look-up's result is changed."""
        result = func(*args, **(kwargs or {}))
        if self._looks_up(func, args, kwargs or {}) and result.is_floating_point():
            self.seen += 1
            return self.change(result)
        return result

    def _looks_up(self, func: Any, args: Any, kwargs: dict[str, Any]) -> bool:
        if func is F.embedding:
            ids = args[0] if args else kwargs["input"]
        elif func is Tensor.__getitem__ and isinstance(args[0], nn.Parameter):
            ids = args[1]
        else:
            return False
        return isinstance(ids, Tensor) and ids.dtype is torch.long and ids.shape[:2] == self.shape


def fed(model: nn.Module, x: Tensor, change: Change) -> Tensor | None:
    """The output when the features are changed; None if a model reads its ids in another way."""
    if x.is_floating_point():
        return run(model, change(x))
    with Tap(x, change) as tap:
        y = run(model, x)
    return y if tap.seen else None


def slopes(
    model: nn.Module, x: Tensor, scalar: Callable[[Tensor], Tensor], *, graph: bool = False
) -> list[tuple[Tensor, Tensor | None]]:
    """The features that the module reads, and the gradient of `scalar(output)` in each.

    Empty if a model reads its ids in another way than by looking them up.
    """
    leaves: list[Tensor] = []

    def leaf(features: Tensor) -> Tensor:
        leaves.append(features.detach().requires_grad_())
        # An inner loop may run without gradients; the leaf has to be seen by what does not.
        return leaves[-1].view_as(leaves[-1])

    with torch.enable_grad():
        y = fed(model, x, leaf)
        if y is None or not y.requires_grad:
            return []
        found = torch.autograd.grad(scalar(y), leaves, create_graph=graph, allow_unused=True)
    return list(zip(leaves, found, strict=True))
