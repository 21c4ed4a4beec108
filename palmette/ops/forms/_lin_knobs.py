"""A module of the `lin` family as its native operator takes it: knobs in numbers, parameters."""

from functools import cache

from torch import Tensor, nn

from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.kernels.native.lin_layout import (
    DECAYS,
    ERASES,
    FEATURES,
    GATES,
    NAMES,
    NORMS,
    WRITES,
)

ATTRIBUTES = {"retention": "log_retention"} | {
    name: f"{name}.weight" for name in ("decay_up", "erase_up", "write_up")
}


def knobs_of(module: LinearRecurrence) -> list[int]:
    """The fields of `Layout`, in order."""
    positive = module.feature in ("relu", "elu1", "softmax") and not module.rotary
    _, gate, beta, strength, dt, decay, erase, write = module.widths
    return [
        module.heads,
        module.key_heads,
        module.key_size,
        module.value_size,
        module.householders,
        FEATURES.index(module.feature),
        DECAYS.index(module.decay),
        WRITES.index(module.write),
        ERASES.index(module.erase),
        int(module.rotary),
        int(module.read == "normalised"),
        int(positive and module.erase == "none"),
        int(module.taps is not None and module.conv_activation == "silu"),
        NORMS.index(module.out_norm),
        GATES.index(module.out_gate),
        gate,
        beta,
        strength,
        dt,
        decay,
        erase,
        write,
    ]


def parameters_of(module: LinearRecurrence) -> list[Tensor | None]:
    """Those between the two projections, in the order of `NAMES`."""
    return [_look_up(module, name) for name in NAMES]


def _look_up(module: nn.Module, name: str) -> Tensor | None:
    found: object = module
    for part in _path(name):
        found = getattr(found, part, None)
    assert found is None or isinstance(found, Tensor)
    return found


@cache
def _path(name: str) -> list[str]:
    return ATTRIBUTES.get(name, name).split(".")
