"""K4 for Mamba: a diagonal scan with n states a channel that are read as soon as they are made.

    h_t = exp(-A dt_t) h_{t-1} + dt_t u_t B_t^T        h, A: [d n]        (arXiv 2312.00752)
    y_t = h_t C_t

`selective_loop` writes all decays and all states out and hands them to K4. `selective_scan` never
does: its loop over time keeps one token's states, which stay in a core's cache, and its derivative
makes the states again. At b = 32, t = 128, d = 128, n = 16 forward and backward take 80 ms so
and 250 ms written out, on one core of an AVX-512 machine (medians of 5). A second derivative goes
through the form that is written out.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from palmette.ops.kernels.scan import scan, scan_step


def selective_step(
    rate: Float[Tensor, "d n"],
    step: Float[Tensor, "b d"],
    u: Float[Tensor, "b d"],
    write: Float[Tensor, "b n"],
    read: Float[Tensor, "b n"],
    state: Float[Tensor, "b d n"],
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b d n"]]:
    """One token, dt being `step`, A `rate`, B `write` and C `read`: its output, the state after it.

    >>> one = torch.ones(1, 1)
    >>> y, state = selective_step(one, 0 * one, one, one, one, torch.full((1, 1, 1), 5.0))
    >>> y.item()
    5.0
    """
    decay = torch.exp(-rate * step.unsqueeze(-1))
    state = scan_step(decay, (step * u).unsqueeze(-1) * write.unsqueeze(-2), state)
    return (state @ read.unsqueeze(-1)).squeeze(-1), state


def selective_loop(
    rate: Float[Tensor, "d n"],
    step: Float[Tensor, "b t d"],
    u: Float[Tensor, "b t d"],
    write: Float[Tensor, "b t n"],
    read: Float[Tensor, "b t n"],
) -> Float[Tensor, "b t d"]:
    """The outputs, from a state of zero."""
    decay = torch.exp(-rate * step.unsqueeze(-1))
    states = scan(decay, (step * u).unsqueeze(-1) * write.unsqueeze(-2))
    return (states @ read.unsqueeze(-1)).squeeze(-1)


def selective_scan(
    rate: Float[Tensor, "d n"],
    step: Float[Tensor, "b t d"],
    u: Float[Tensor, "b t d"],
    write: Float[Tensor, "b t n"],
    read: Float[Tensor, "b t n"],
) -> Float[Tensor, "b t d"]:
    """The values of `selective_loop` without its memory."""
    y: Tensor = _Selective.apply(rate, step, u, write, read)  # type: ignore[no-untyped-call]
    return y


class _Selective(torch.autograd.Function):
    """The selective scan and its derivative, token by token."""

    @staticmethod
    def forward(rate: Tensor, step: Tensor, u: Tensor, write: Tensor, read: Tensor) -> Tensor:
        y = torch.empty_like(u)
        fed, state = step * u, u.new_zeros(len(u), *rate.shape)
        decay = torch.empty_like(state)
        for i in range(u.shape[1]):
            _advance(decay, state, rate, step[:, i], fed[:, i], write[:, i])
            y[:, i] = (state @ read[:, i].unsqueeze(-1)).squeeze(-1)
        return y

    @staticmethod
    def setup_context(context: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        context.save_for_backward(*inputs)

    @staticmethod
    def vmap(info: Any, in_dims: Any, *given: Tensor) -> tuple[Tensor, int]:
        """One model after another: each has its own rates."""
        each = [
            [
                x if place is None else x.select(place, i)
                for x, place in zip(given, in_dims, strict=True)
            ]
            for i in range(info.batch_size)
        ]
        return torch.stack([selective_scan(*own) for own in each]), 0

    @staticmethod
    def backward(context: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _slopes_with_graph(context.saved_tensors, slope)
        rate, step, u, write, read = context.saved_tensors
        return _slopes(rate, step, u, write, read, slope)


def _advance(
    decay: Tensor, state: Tensor, rate: Tensor, step: Tensor, fed: Tensor, write: Tensor
) -> None:
    """Brings the state past one token, in place; `decay` [b d n] becomes this token's."""
    torch.mul(step.unsqueeze(-1), -rate, out=decay).exp_()
    state.mul_(decay).addcmul_(fed.unsqueeze(-1), write.unsqueeze(-2))


def _slopes(
    rate: Tensor, step: Tensor, u: Tensor, write: Tensor, read: Tensor, slope: Tensor
) -> tuple[Tensor, ...]:
    """The derivatives by rate, step, u, write and read, from the last token to the first."""
    length, fed = u.shape[1], step * u
    states = u.new_zeros(length + 1, len(u), *rate.shape)  # before each token, and after the last
    decay = torch.empty_like(states[0])
    for i in range(length):
        torch.mul(step[:, i].unsqueeze(-1), -rate, out=decay).exp_()
        torch.mul(states[i], decay, out=states[i + 1])
        states[i + 1].addcmul_(fed[:, i].unsqueeze(-1), write[:, i].unsqueeze(-2))
    by_rate, by_step, by_fed = torch.zeros_like(rate), torch.zeros_like(u), torch.zeros_like(u)
    by_write, by_read = torch.zeros_like(write), torch.zeros_like(read)
    by_state = torch.zeros_like(decay)
    for i in reversed(range(length)):
        slope_i, step_i = slope[:, i], step[:, i].unsqueeze(-1)
        by_read[:, i] = (slope_i.unsqueeze(-2) @ states[i + 1]).squeeze(-2)
        by_state.addcmul_(slope_i.unsqueeze(-1), read[:, i].unsqueeze(-2))
        by_fed[:, i] = (by_state @ write[:, i].unsqueeze(-1)).squeeze(-1)
        by_write[:, i] = (fed[:, i].unsqueeze(-2) @ by_state).squeeze(-2)
        by_state.mul_(torch.mul(step_i, -rate, out=decay).exp_())
        by_exponent = torch.mul(by_state, states[i], out=decay)
        by_step[:, i] = torch.einsum("bdn,dn->bd", by_exponent, -rate)
        by_rate -= (by_exponent * step_i).sum(0)
    return by_rate, by_step + by_fed * u, by_fed * step, by_write, by_read


def _slopes_with_graph(given: tuple[Tensor, ...], slope: Tensor) -> tuple[Tensor | None, ...]:
    """The same derivatives, themselves differentiable.

    By views: with respect to themselves the inputs may depend on one another, as dt does on u.
    """
    views = [one.view_as(one) for one in given]
    wanted = [view for view in views if view.requires_grad]
    found = iter(torch.autograd.grad(selective_loop(*views), wanted, slope, create_graph=True))
    return tuple(next(found) if view.requires_grad else None for view in views)
