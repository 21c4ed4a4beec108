"""Decoding token by token, and the token ids that some modules read.

Every streamable module has, beside `forward`, the pair

    init_state(batch) -> state            nested tuples of tensors and integers
    step(x [b d], state) -> y [b d], state after it

where `step` leaves the state that it is given alone, so that a state can be kept and gone on from
twice. A module that also reads the token ids has `reads_ids = True` and takes them as a second
input; a module around others passes them on with `run` and `advance`.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from jaxtyping import Float, Int
from torch import Tensor, nn

State: TypeAlias = Any


class Pointwise(nn.Module):
    """A module that treats each token by itself: it decodes without a state."""

    def init_state(self, batch: int) -> State:
        """Nothing to keep."""
        return ()

    def step(self, x: Float[Tensor, "b d"], state: State) -> tuple[Float[Tensor, "b d"], State]:
        """One token, as a sequence of length one."""
        return self(x.unsqueeze(1)).squeeze(1), state


def any_reads_ids(parts: Iterable[nn.Module]) -> bool:
    """Whether a module around these has to be given the token ids."""
    return any(getattr(part, "reads_ids", False) for part in parts)


def run(
    part: nn.Module, x: Float[Tensor, "b t d"], ids: Int[Tensor, "b t"] | None
) -> Float[Tensor, "b t d"]:
    """The forward pass of a part, with the token ids if it reads them."""
    return part(x, ids) if getattr(part, "reads_ids", False) else part(x)  # type: ignore[no-any-return]


def advance(
    part: nn.Module, x: Float[Tensor, "b d"], state: State, ids: Int[Tensor, " b"] | None
) -> tuple[Float[Tensor, "b d"], State]:
    """One token of a part, with the token's id if it reads ids."""
    if getattr(part, "reads_ids", False):
        return part.step(x, state, ids)  # type: ignore[operator, no-any-return]
    return part.step(x, state)  # type: ignore[operator, no-any-return]
