"""Decoding token by token: `init_state(batch)` and `step(token, state)`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from palmette.gates._base import GateFailure, Subject


def decodes(model: nn.Module) -> None:
    """Raises `GateFailure` unless the module has both methods."""
    missing = [name for name in ("init_state", "step") if not callable(getattr(model, name, None))]
    if missing:
        raise GateFailure(f"promises to be streamable but has no {' and no '.join(missing)}")


def start(model: nn.Module, rows: int) -> Any:
    """The state before the first token."""
    return model.init_state(rows)  # type: ignore[operator]


def step(model: nn.Module, token: Tensor, state: Any) -> tuple[Tensor, Any]:
    """One token [b] or [b d]: its output and the state after it."""
    result = model.step(token, state)  # type: ignore[operator]
    if not isinstance(result, tuple) or len(result) != 2 or not isinstance(result[0], Tensor):
        raise GateFailure("step has to give a pair: the output of one token, and the state")
    return result


def decode(model: nn.Module, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """The outputs [b t …] of tokens one by one, from a state on, and the state after them."""
    outputs = []
    for t in range(x.shape[1]):
        output, state = step(model, x[:, t], state)
        outputs.append(output)
    return torch.stack(outputs, 1), state


def leaves(state: Any) -> Iterator[Any]:
    """What a nested state holds. Raises `GateFailure` for what is neither tensor nor number."""
    if isinstance(state, (tuple, list)):
        for part in state:
            yield from leaves(part)
    elif isinstance(state, dict):
        for part in state.values():
            yield from leaves(part)
    elif state is None or isinstance(state, (Tensor, int, float)):
        yield state
    else:
        raise GateFailure(
            f"its state holds a {type(state).__name__}; it may hold tensors and numbers, nested"
        )


@dataclass(frozen=True)
class Size:
    """How large a state is, for one sequence.

    state_bytes  of the tensors' elements
    held_bytes   of the memory behind them, which a view keeps alive, and of numbers
    """

    state_bytes: int
    held_bytes: int


def size_of(state: Any, rows: int) -> Size:
    """The size of a state of so many sequences."""
    tensors, numbers = 0, 0
    storages: dict[int, int] = {}
    for leaf in leaves(state):
        if isinstance(leaf, Tensor):
            tensors += leaf.numel() * leaf.element_size()
            storage = leaf.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
        elif isinstance(leaf, int):
            numbers += max(8, leaf.bit_length() // 8)
        else:
            numbers += 8
    return Size(tensors // rows, sum(storages.values()) // rows + numbers)


def copied(state: Any) -> list[Any]:
    """The leaves, copied."""
    return [leaf.clone() if isinstance(leaf, Tensor) else leaf for leaf in leaves(state)]


def same(one: list[Any], two: list[Any]) -> bool:
    """Whether two lists of leaves are equal, bit for bit."""
    return len(one) == len(two) and all(
        torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b
        for a, b in zip(one, two, strict=True)
    )


def tokens(subject: Subject, length: int, rows: int = 2, seed: int = 0) -> Tensor:
    """Inputs to decode; ids [b t] or features [b t d]."""
    return subject.inputs(length, rows, seed)
