import pytest
import torch
from torch import Tensor

from palmette.ops.kernels.scan import scan, scan_loop, scan_step


def random_arguments(
    length: int, kind: str, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Decays, inputs and a first state of two sequences: five channels, or five by three."""
    shape = (5, 3) if kind == "states" else (5,)
    lead = (1, 1) if kind == "shared" else (2, length)
    a = torch.rand(*lead, *shape, dtype=dtype)
    x = torch.randn(2, length, *shape, dtype=dtype)
    state = torch.randn(2, *shape, dtype=dtype)
    return tuple(one.requires_grad_() for one in (a, x, state))


def assert_near(given: Tensor, wanted: Tensor, relative: float = 1e-5) -> None:
    torch.testing.assert_close(given, wanted, atol=relative * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize("length", [1, 63, 100])
@pytest.mark.parametrize("kind", ["channels", "states", "shared"])
def test_the_fast_form_has_the_values_and_gradients_of_the_loop(kind: str, length: int) -> None:
    torch.manual_seed(0)
    arguments = random_arguments(length, kind)
    slow, fast = scan_loop(*arguments), scan(*arguments)
    assert_near(fast, slow)
    weights = torch.randn_like(slow)
    wanted = torch.autograd.grad((slow * weights).sum(), arguments)
    for given, value in zip(
        torch.autograd.grad((fast * weights).sum(), arguments), wanted, strict=True
    ):
        assert_near(given, value)


def test_without_a_state_it_starts_from_zero() -> None:
    torch.manual_seed(0)
    a, x, _ = random_arguments(63, "channels")
    assert_near(scan(a, x), scan(a, x, torch.zeros(2, 5)))
    assert_near(scan_loop(a, x), scan(a, x))


def test_steps_go_on_where_the_scan_ended() -> None:
    torch.manual_seed(0)
    a, x, state = random_arguments(63, "states")
    whole = scan(a, x, state)
    now = scan(a[:, :41], x[:, :41], state)[:, -1]
    for i in range(41, 63):
        now = scan_step(a[:, i], x[:, i], now)
        assert_near(now, whole[:, i])


def test_second_and_third_derivative() -> None:
    torch.manual_seed(0)
    arguments = random_arguments(7, "states", torch.float64)
    assert torch.autograd.gradgradcheck(scan, arguments, fast_mode=True)
    a, x, state = arguments

    def twice(a: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        (slope,) = torch.autograd.grad(scan(a, x, state).square().sum(), x, create_graph=True)
        return torch.autograd.grad(slope.sin().sum(), (a, x), create_graph=True)

    assert torch.autograd.gradcheck(twice, (a, x), fast_mode=True)


@pytest.mark.parametrize("kept", [0.0, 1e-38, 1.0 - 2**-24, 1.0])
def test_the_most_extreme_decays_stay_exact_and_finite(kept: float) -> None:
    torch.manual_seed(0)
    a = torch.full((2, 100, 5), kept, requires_grad=True)
    x = torch.randn(2, 100, 5, requires_grad=True)
    states = scan(a, x)
    assert_near(states, scan_loop(a, x))
    states.square().sum().backward()
    assert a.grad is not None
    assert x.grad is not None
    assert a.grad.isfinite().all()
    assert x.grad.isfinite().all()


def test_the_future_is_not_read_even_if_it_is_not_a_number() -> None:
    a, x, _ = random_arguments(63, "channels")
    with torch.no_grad():
        x[:, 40:] = torch.nan
        a[:, 40:] = torch.nan
    states = scan(a, x)[:, :40]
    assert states.isfinite().all()


def test_inputs_are_left_alone() -> None:
    a, x, state = (one.detach() for one in random_arguments(63, "channels"))
    before = [one.clone() for one in (a, x, state)]
    scan(a, x, state)
    assert all(torch.equal(one, old) for one, old in zip((a, x, state), before, strict=True))
