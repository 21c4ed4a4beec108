import pytest
import torch
from torch import Tensor

from palmette.ops.kernels.selective import selective_loop, selective_scan, selective_step

NAMES = ("rate", "step", "u", "write", "read")


def random_arguments(length: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Two sequences, five channels, three states a channel."""
    arguments = (
        3.0 * torch.rand(5, 3, dtype=dtype),
        torch.rand(2, length, 5, dtype=dtype),
        torch.randn(2, length, 5, dtype=dtype),
        torch.randn(2, length, 3, dtype=dtype),
        torch.randn(2, length, 3, dtype=dtype),
    )
    return tuple(one.requires_grad_() for one in arguments)


def assert_near(given: Tensor, wanted: Tensor, relative: float = 1e-5) -> None:
    torch.testing.assert_close(given, wanted, atol=relative * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize("length", [1, 63, 100])
def test_the_fast_form_has_the_values_and_gradients_of_the_loop(length: int) -> None:
    torch.manual_seed(0)
    arguments = random_arguments(length)
    slow, fast = selective_loop(*arguments), selective_scan(*arguments)
    assert_near(fast, slow)
    weights = torch.randn_like(slow)
    wanted = torch.autograd.grad((slow * weights).sum(), arguments)
    given = torch.autograd.grad((fast * weights).sum(), arguments)
    for one, other in zip(given, wanted, strict=True):
        assert_near(one, other)


def test_steps_are_the_scan() -> None:
    torch.manual_seed(0)
    rate, *over_time = random_arguments(63)
    whole = selective_scan(rate, *over_time)
    state = torch.zeros(2, 5, 3)
    for i in range(63):
        y, state = selective_step(rate, *(one[:, i] for one in over_time), state)
        assert_near(y, whole[:, i])


def test_second_derivative_also_where_the_inputs_depend_on_one_another() -> None:
    torch.manual_seed(0)
    rate, step, u, write, read = random_arguments(6, torch.float64)
    assert torch.autograd.gradgradcheck(
        selective_scan, (rate, step, u, write, read), fast_mode=True
    )

    def tied(u: Tensor) -> Tensor:
        return selective_scan(rate.detach(), u.square(), u, u[..., :3].sin(), u[..., :3])

    assert torch.autograd.gradgradcheck(tied, (u,), fast_mode=True)


@pytest.mark.parametrize("step", [0.0, 1e-30, 1e4])
def test_the_most_extreme_decays_stay_exact_and_finite(step: float) -> None:
    torch.manual_seed(0)
    arguments = list(random_arguments(100))
    arguments[1] = torch.full((2, 100, 5), step, requires_grad=True)
    y = selective_scan(*arguments)
    assert_near(y, selective_loop(*arguments))
    y.sum().backward()
    for name, one in zip(NAMES, arguments, strict=True):
        assert one.grad is not None, name
        assert one.grad.isfinite().all(), name
