"""A layer of the `lin` family between its two projections, as one native operator.

`lin_pass.py` and `lin_run.py` say what it computes; here torch is told of it. All parameters are
arguments that may be absent, in the order of `NAMES`; the knobs are the fields of `Layout`.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from palmette.ops.kernels.native.direct import direct, direct_backward
from palmette.ops.kernels.native.lin_layout import NAMES, layout
from palmette.ops.kernels.native.lin_run import (
    FIXED,
    run_backward,
    run_forward,
    run_states,
    run_step,
)
from palmette.ops.kernels.native.linear import fold

GIVEN = ", ".join(f"Tensor? {name}" for name in NAMES)
COUNT = len(NAMES)


def mix(projected: Tensor, given: Sequence[Tensor | None], knobs: Sequence[int]) -> Tensor:
    """y [b t inner] from the input's projection [b t m], or both with a leading s.

    Raises `NativeError` if a kernel cannot be built.
    """
    keep = _differentiable(projected, *given)
    return _forward(projected, *given, knobs, keep)[0]  # type: ignore[no-any-return]


def _differentiable(*given: Tensor | None) -> bool:
    return torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in given)


@torch.library.custom_op(
    "palmette::lin",
    mutates_args=(),
    device_types="cpu",
    schema=f"(Tensor projected, {GIVEN}, int[] knobs, bool keep) -> (Tensor, Tensor, Tensor)",
)
def forward_operator(projected: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    """y, the outputs of the recurrence, and the states that the pass backward needs."""
    *given, knobs, keep = rest
    check(projected, given, knobs)
    return run_forward(projected, given, knobs, keep)


@forward_operator.register_fake
def _(projected: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    *given, knobs, keep = rest
    check(projected, given, knobs)
    f = layout(knobs)
    length = projected.shape[-2]
    rows = projected.numel() // (length * f.total)
    states = run_states(f, length) if keep else 0
    wide = f.value + f.normalised
    return (
        projected.new_empty(*projected.shape[:-1], f.inner),
        projected.new_empty(rows, length * f.steps, f.heads, wide),
        projected.new_empty(rows, f.heads, states, f.key, wide),
    )


@torch.library.custom_op(
    "palmette::lin_backward",
    mutates_args=(),
    device_types="cpu",
    schema=(
        "(Tensor dy, Tensor projected, Tensor outputs, Tensor states, "
        f"{GIVEN}, int[] knobs) -> Tensor[]"
    ),
)
def backward_operator(
    dy: Tensor, projected: Tensor, outputs: Tensor, states: Tensor, *rest: Any
) -> list[Tensor]:
    """The gradients of the projection and of each parameter that is there and learned."""
    *given, knobs = rest
    return run_backward(dy, projected, outputs, states, given, knobs)


@backward_operator.register_fake
def _(dy: Tensor, projected: Tensor, outputs: Tensor, states: Tensor, *rest: Any) -> list[Tensor]:
    learned = (
        x for name, x in zip(NAMES, rest, strict=False) if x is not None and name not in FIXED
    )
    return [x.new_empty(x.shape) for x in (projected, *learned)]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    projected, *given, ctx.knobs, _ = inputs
    ctx.save_for_backward(projected, *output[1:], *given)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, dy: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
    if dy is None:
        return (None,) * (3 + COUNT)
    projected, outputs, states, *given = ctx.saved_tensors
    found = iter(_backward(dy, projected, outputs, states, *given, ctx.knobs))
    dprojected = next(found)
    each = (
        None if x is None or name in FIXED else next(found)
        for name, x in zip(NAMES, given, strict=True)
    )
    return dprojected, *each, None, None


forward_operator.register_autograd(_differentiate, setup_context=_keep)
_forward = direct(forward_operator, _keep, _differentiate)
_backward = direct_backward(backward_operator)


@forward_operator.register_vmap
def _(
    info: Any, where: tuple[Any, ...], projected: Tensor, *rest: Any
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int]]:
    *given, knobs, _ = rest
    assert projected.ndim + (where[0] is None) == 4, "one dimension of models is all that is folded"
    folded = fold(info, where[: 1 + COUNT], (projected, *given), False)
    # Below the mapping a tensor may have a gradient that it does not show above.
    y, outputs, states = forward_operator(*folded, knobs, _differentiable(*folded))
    n = info.batch_size
    return (y, outputs.unflatten(0, (n, -1)), states.unflatten(0, (n, -1))), (0, 0, 0)


@torch.library.custom_op(
    "palmette::lin_step",
    mutates_args=(),
    device_types="cpu",
    schema=(
        "(Tensor projected, Tensor? window, Tensor state, int position, "
        f"{GIVEN}, int[] knobs) -> Tensor[]"
    ),
)
def step_operator(
    projected: Tensor, window: Tensor | None, state: Tensor, position: int, *rest: Any
) -> list[Tensor]:
    """y [b inner], the state after the token, and the window after it if there is one."""
    *given, knobs = rest
    check(projected.unsqueeze(1), given, knobs)
    y, window, state = run_step(projected, window, position, state, given, knobs)
    return [y, state] if window is None else [y, state, window]


@step_operator.register_fake
def _(
    projected: Tensor, window: Tensor | None, state: Tensor, position: int, *rest: Any
) -> list[Tensor]:
    y = projected.new_empty(len(projected), layout(rest[-1]).inner)
    return [y, *(x.new_empty(x.shape) for x in (state, window) if x is not None)]


_step = direct_backward(step_operator)


def mix_step(
    projected: Tensor,
    window: Tensor | None,
    position: int,
    state: Tensor,
    given: Sequence[Tensor | None],
    knobs: Sequence[int],
) -> tuple[Tensor, Tensor | None, Tensor]:
    """One token at `position`, [b m]: y [b inner], and window and state after it; no derivative.

    `window` [b p streams] is what the convolution still sees, `state` [b h k v] the recurrence's;
    both are left alone.
    """
    y, state, *after = _step(projected, window, state, position, *given, knobs)
    return y, (after[0] if after else None), state


def check(projected: Tensor, given: Sequence[Tensor | None], knobs: Sequence[int]) -> None:
    """Raises `ValueError` if the projection does not belong to the knobs, or is not fp32."""
    f = layout(knobs)
    if projected.ndim not in (3, 4) or projected.shape[-1] != f.total:
        raise ValueError(
            f"a projection is {list(projected.shape)}; wanted [b t {f.total}] or [s b t {f.total}]"
        )
    if any(x is not None and x.dtype != torch.float32 for x in (projected, *given)):
        raise ValueError("the native lin computes in float32")
