"""Everything that a module could remember, as a mapping from places to what stands there."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

PLAIN = (bool, int, float, complex, str, bytes, type(None))
TORCH_OWN = {"_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "training"}
DEEPEST = 5


def snapshot(model: nn.Module) -> dict[str, str]:
    """Parameters, buffers and Python attributes of all submodules, of their classes, and of what
    their `forward` reaches outside: globals, defaults and closures. Values are digests.
    """
    found: dict[str, str] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found[f"parameter {name}"] = digest(parameter)
    for name, tensor in model.named_buffers(remove_duplicate=False):
        found[f"buffer {name}"] = digest(tensor)
    classes: dict[type, None] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in TORCH_OWN and not name.endswith("_hooks"):
                put(found, f"attribute {path}{'.' if path else ''}{name}", value, 0)
        classes |= dict.fromkeys(type(module).__mro__)
    for cls in classes:
        if cls.__module__.partition(".")[0] not in ("torch", "builtins", "abc", "typing"):
            for name, value in (*vars(cls).items(), *_reached(cls)):
                put(found, f"class {cls.__qualname__}.{name}", value, 0)
    return found


def _reached(cls: type) -> Iterator[tuple[str, Any]]:
    """What the methods of a class reach outside: globals, defaults, closures, own attributes."""
    for name, value in list(vars(cls).items()):
        if not isinstance(value, types.FunctionType):
            continue
        for other in value.__code__.co_names:
            if other in value.__globals__ and isinstance(
                value.__globals__[other], (*PLAIN, Tensor, list, dict, set)
            ):
                yield f"{name} global {other}", value.__globals__[other]
        for number, default in enumerate(value.__defaults__ or ()):
            yield f"{name} default {number}", default
        for number, held in enumerate(value.__closure__ or ()):
            try:
                yield f"{name} closure {number}", held.cell_contents
            except ValueError:  # not filled yet
                continue
        yield f"{name} own", dict(vars(value))


def put(found: dict[str, str], place: str, value: Any, depth: int) -> None:
    """Adds what stands at a place, opened up to a depth of five."""
    if isinstance(value, Tensor):
        found[place] = digest(value)
    elif isinstance(value, PLAIN):
        found[place] = repr(value)
    elif isinstance(value, (type, types.ModuleType, types.FunctionType, nn.Module, property)):
        return  # submodules are walked on their own; code does not change
    elif isinstance(value, Mapping) and not isinstance(value, types.MappingProxyType):
        found[place] = f"{type(value).__name__} of {len(value)}"
        if depth < DEEPEST:
            for key, item in list(value.items()):
                put(found, f"{place}[{key!r:.80}]", item, depth + 1)
    elif isinstance(value, (list, tuple, set, frozenset)):
        found[place] = f"{type(value).__name__} of {len(value)}"
        if depth < DEEPEST:
            items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
            for number, item in enumerate(items):
                put(found, f"{place}[{number}]", item, depth + 1)
    elif hasattr(value, "__dict__") and depth < DEEPEST and not callable(value):
        put(found, place, dict(vars(value)), depth + 1)


def digest(tensor: Tensor) -> str:
    """Shape, dtype and a hash of the bits."""
    held = tensor.detach()
    if held.is_floating_point() or held.is_complex():
        # bfloat16 has no numpy form; as bytes it has
        raw = held.contiguous().cpu().flatten().view(torch.uint8)
    else:
        raw = held.contiguous().cpu().flatten()
    hashed = hashlib.blake2b(raw.numpy().tobytes(), digest_size=8).hexdigest()
    return f"{held.dtype} {list(held.shape)} {hashed}"


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The places that differ, in order."""
    return [p for p in {**before, **after} if before.get(p) != after.get(p)]
