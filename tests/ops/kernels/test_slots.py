import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from palmette.ops.kernels.slots import slots_chunked, slots_loop, slots_step

NAMES = ("q", "k", "v", "write", "log_decay")


def random_arguments(length: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Two sequences, three heads, k = 8, v = 5, m = 6."""
    lead = (2, 3, length)
    log_decay = -5.0 * torch.rand(*lead, 6, dtype=dtype)
    arguments = {
        "q": torch.randn(*lead, 8, dtype=dtype),
        "k": torch.randn(*lead, 8, dtype=dtype),
        "v": torch.randn(*lead, 5, dtype=dtype),
        "write": torch.rand(*lead, 6, dtype=dtype),
        "log_decay": log_decay,
    }
    return {name: x.requires_grad_() for name, x in arguments.items()}


def random_memory(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    return (
        torch.randn(2, 3, 6, 8, dtype=dtype, requires_grad=True),
        torch.randn(2, 3, 6, 5, dtype=dtype, requires_grad=True),
    )


def assert_near(given: Tensor, wanted: Tensor, relative: float = 1e-5) -> None:
    torch.testing.assert_close(given, wanted, atol=relative * wanted.abs().max().item(), rtol=0)


@pytest.mark.parametrize("length", [1, 63, 100])
def test_chunks_have_the_values_and_gradients_of_the_loop(length: int) -> None:
    torch.manual_seed(0)
    arguments, memory = random_arguments(length), random_memory()
    leaves = [*arguments.values(), *memory]
    slow, slow_end = slots_loop(**arguments, memory=memory)
    weights = torch.randn_like(slow)

    def slopes(outputs: Tensor, end: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        loss = (outputs * weights).sum() + sum(x.square().sum() for x in end)
        return torch.autograd.grad(loss, leaves)

    wanted = slopes(slow, slow_end)
    for chunk in (8, 16):
        fast, end = slots_chunked(**arguments, memory=memory, chunk=chunk)
        for given, value in zip((fast, *end), (slow, *slow_end), strict=True):
            assert_near(given, value)
        for given, value in zip(slopes(fast, end), wanted, strict=True):
            assert_near(given, value)


def test_steps_go_on_where_chunks_ended() -> None:
    torch.manual_seed(0)
    arguments = random_arguments(63)
    whole, end = slots_chunked(**arguments)
    _, memory = slots_chunked(**{n: x[:, :, :41] for n, x in arguments.items()})
    for i in range(41, 63):
        output, memory = slots_step(*(arguments[n][:, :, i] for n in NAMES), memory)
        assert_near(output, whole[:, :, i])
    for given, wanted in zip(memory, end, strict=True):
        assert_near(given, wanted)


def test_second_derivative() -> None:
    torch.manual_seed(0)
    arguments = random_arguments(6, torch.float64)

    def outputs(*values: Tensor) -> Tensor:
        return slots_chunked(*values, chunk=4)[0]

    assert torch.autograd.gradgradcheck(outputs, tuple(arguments.values()), fast_mode=True)


def test_the_strongest_decay_that_is_allowed_stays_exact_with_large_scores() -> None:
    torch.manual_seed(0)
    arguments = random_arguments(100)
    arguments["log_decay"] = torch.full((2, 3, 100, 6), -5.0, requires_grad=True)
    arguments["q"] = (100.0 * torch.randn(2, 3, 100, 8)).requires_grad_()
    arguments["k"] = (10.0 * torch.randn(2, 3, 100, 8)).requires_grad_()
    fast = slots_chunked(**arguments)[0]
    assert_near(fast, slots_loop(**arguments)[0], 1e-4)  # scores of a thousand, to one part in 1e7
    fast.square().sum().backward()
    assert all(x.grad is not None and x.grad.isfinite().all() for x in arguments.values())


def test_with_a_slot_for_each_token_it_is_softmax_attention() -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 2, 3, 6, 8).unbind()
    write = torch.eye(6).expand(2, 3, 6, 6)  # token i writes slot i, and nothing decays
    recalled, _ = slots_chunked(q, k, v, write, torch.zeros(2, 3, 6, 6))
    for i in range(6):
        seen = torch.cat([k[:, :, : i + 1], torch.zeros(2, 3, 5 - i, 8)], 2)
        held = torch.cat([v[:, :, : i + 1], torch.zeros(2, 3, 5 - i, 8)], 2)
        scores = (seen @ q[:, :, i].unsqueeze(-1)).squeeze(-1)
        wanted = (F.softmax(scores, -1).unsqueeze(-2) @ held).squeeze(-2)
        assert_near(recalled[:, :, i], wanted)
