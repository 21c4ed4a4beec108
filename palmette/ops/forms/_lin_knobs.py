"""A module of the `lin` family as its native operator takes it: knobs in numbers, parameters."""

from weakref import WeakKeyDictionary

from torch import Tensor, nn

from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.kernels.native.lin_layout import (
    DECAYS,
    ERASES,
    FEATURES,
    GATES,
    NAMES,
    NORMS,
    UPS,
    WRITES,
)

MATRICES = [(NAMES.index(name), name) for name in UPS]
RETENTION = NAMES.index("retention")

_knobs: WeakKeyDictionary[nn.Module, list[int]] = WeakKeyDictionary()


def knobs_of(module: LinearRecurrence) -> list[int]:
    """The fields of `Layout`, in order."""
    found = _knobs.get(module)
    if found is None:
        found = _knobs[module] = _read_knobs(module)
    return found


def _read_knobs(module: LinearRecurrence) -> list[int]:
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
    own, below = module._parameters, module._modules
    found: list[Tensor | None] = [own.get(name) for name in NAMES]
    for i, name in MATRICES:
        if up := below.get(name):
            found[i] = up._parameters["weight"]
    found[RETENTION] = module._buffers.get("log_retention")
    return found
