from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from palmette.ops.kernels.recurrence import recurrence_chunked, recurrence_loop, recurrence_step

Arguments = dict[str, Tensor | None]


def random_arguments(
    decay: str, erase: str, read: str, length: int, dtype: torch.dtype = torch.float32
) -> Arguments:
    """Two sequences, three heads, k = 8, v = 5, from a state that is not zero."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=dtype)

    lead = (2, 3, length)
    k = normalize(normal(*lead, 8), dim=-1)
    log_decay = {
        "none": None,
        "scalar": -2.0 * torch.rand(*lead, 1, dtype=dtype),
        "vector": -5.0 * torch.rand(*lead, 8, dtype=dtype),
    }[decay]
    beta = torch.rand(*lead, 1, dtype=dtype)
    a = b = None
    if erase != "none":
        erased = k if erase == "beta" else normalize(normal(*lead, 8), dim=-1)
        a = -beta * erased
        b = None if erase == "beta" else erased
    arguments = {
        "q": normal(*lead, 8),
        "k": k,
        "v": normal(*lead, 5),
        "log_decay": log_decay,
        "a": a,
        "b": b,
        "bonus": None if read == "inclusive" else normal(3, 8),
        "state": normal(2, 3, 8, 5),
    }
    return {n: None if x is None else x.detach().requires_grad_() for n, x in arguments.items()}


def assert_near(given: Tensor, wanted: Tensor, relative: float = 1e-5) -> None:
    """Close relative to the largest value: what fp32 can promise after sums over time."""
    largest = wanted.abs().max().item()
    torch.testing.assert_close(given, wanted, atol=relative * largest, rtol=0)


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("read", ["inclusive", "exclusive"])
@pytest.mark.parametrize("erase", ["none", "beta", "free"])
@pytest.mark.parametrize("decay", ["none", "scalar", "vector"])
def test_chunks_have_the_values_and_gradients_of_the_loop(
    decay: str, erase: str, read: str, length: int
) -> None:
    torch.manual_seed(0)
    arguments = random_arguments(decay, erase, read, length)
    leaves = [x for x in arguments.values() if x is not None]
    slow = recurrence_loop(**arguments)
    weights = [torch.randn_like(x) for x in slow]

    def gradients(results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        loss = sum((x * w).sum() for x, w in zip(results, weights, strict=True))
        return torch.autograd.grad(loss, leaves)

    wanted = gradients(slow)
    for chunk in (16, 32):
        fast = recurrence_chunked(**arguments, chunk=chunk)
        for given, value in zip(fast, slow, strict=True):
            assert_near(given, value)
        for given, value in zip(gradients(fast), wanted, strict=True):
            assert_near(given, value)


@pytest.mark.parametrize("erase", ["none", "beta", "free"])
@pytest.mark.parametrize("decay", ["none", "scalar", "vector"])
def test_steps_go_on_where_chunks_ended(decay: str, erase: str) -> None:
    torch.manual_seed(0)
    arguments = random_arguments(decay, erase, "exclusive", 63)
    bonus, state = arguments.pop("bonus"), arguments.pop("state")
    whole, end = recurrence_chunked(**arguments, bonus=bonus, state=state)

    def part(first: int, last: int) -> Arguments:
        return {n: None if x is None else x[:, :, first:last] for n, x in arguments.items()}

    _, state = recurrence_chunked(**part(0, 41), bonus=bonus, state=state)
    outputs = []
    for i in range(41, 63):
        now = {n: None if x is None else x[:, :, 0] for n, x in part(i, i + 1).items()}
        output, state = recurrence_step(**now, bonus=bonus, state=state)
        outputs.append(output)
    assert_near(torch.stack(outputs, 2), whole[:, :, 41:])
    assert_near(state, end)


def test_second_derivative() -> None:
    torch.manual_seed(0)
    arguments = random_arguments("vector", "free", "exclusive", 7, torch.float64)
    names = list(arguments)

    def outputs(*values: Tensor) -> Tensor:
        return recurrence_chunked(**dict(zip(names, values, strict=True)), chunk=4)[0]

    assert torch.autograd.gradgradcheck(
        outputs, tuple(x for x in arguments.values() if x is not None), fast_mode=True
    )


@pytest.mark.parametrize("form", [recurrence_loop, recurrence_chunked])
@pytest.mark.parametrize("erase", ["none", "beta", "free"])
def test_one_head_of_keys_serves_all_heads_of_values(
    form: Callable[..., tuple[Tensor, Tensor]], erase: str
) -> None:
    torch.manual_seed(0)
    arguments = random_arguments("none", erase, "inclusive", 40)
    for name in ("q", "k", "a", "b"):
        if arguments[name] is not None:
            arguments[name] = arguments[name][:, :1]
    arguments["log_decay"] = -torch.rand(1, 3, 40, 1)  # and one sequence of decays all sequences
    expanded = {
        n: x.expand(2, 3, 40, -1) if n in ("q", "k", "a", "b", "log_decay") and x is not None else x
        for n, x in arguments.items()
    }
    for given, wanted in zip(form(**arguments), recurrence_loop(**expanded), strict=True):
        assert_near(given, wanted)


@pytest.mark.parametrize("chunk", [16, 32])
def test_the_strongest_decay_that_is_allowed_stays_exact(chunk: int) -> None:
    torch.manual_seed(0)
    arguments = random_arguments("vector", "beta", "inclusive", 100)
    arguments["log_decay"] = torch.full((2, 3, 100, 8), -5.0, requires_grad=True)
    fast = recurrence_chunked(**arguments, chunk=chunk)[0]
    assert_near(fast, recurrence_loop(**arguments)[0])
    fast.square().sum().backward()
    assert all(x.grad.isfinite().all() for x in arguments.values() if x is not None)


def test_the_delta_rule_stores_and_replaces_a_value() -> None:
    key = torch.eye(4)[None, None, [0, 1, 0]]
    value = torch.tensor([[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]])
    recalled, state = recurrence_chunked(key, key, value, a=-key)
    assert torch.equal(recalled, value)
    assert torch.equal(state[0, 0, :2], value[0, 0, [2, 1]])
