import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from palmette.grammar.node import effects, fields_of
from palmette.grammar.types import ALL_EFFECTS, Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.kernels.slots import slots_loop
from palmette.ops.slots import SlotMemory, Slots, cumulative_gates, slot_gates

WRITES = fields_of(Slots)["write"].choices
OUTS = fields_of(Slots)["out"].choices


def place(width: int) -> Place:
    return Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=128)


def build(node: Slots, width: int = 12) -> SlotMemory:
    torch.manual_seed(0)
    module = instantiate(node.plan(place(width)))
    assert isinstance(module, SlotMemory)
    return module


def gates_of(write: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """Write strengths and log decays for logits z [t m]."""
    if write != "cumulative":
        return slot_gates(z, write)
    total = z.logcumsumexp(0)
    return cumulative_gates(z, total, torch.cat([total[:1], total[:-1]]))


@pytest.mark.parametrize("width", [1, 13, 40])
def test_parameters_in_closed_form_equal_numel(width: int) -> None:
    for out in OUTS:
        for node in (Slots(out=out), Slots(heads=8, number=64, conv=4, out=out)):
            built = sum(p.numel() for p in build(node, width).parameters())
            assert node.cost(place(width), 63).parameters == built, node


@pytest.mark.parametrize("write", WRITES)
def test_state_bytes_are_those_that_decoding_keeps(write: str) -> None:
    node = Slots(write=write, conv=4, heads=2, number=8)
    seen, memory, total = build(node, 13).init_state(3)
    kept = [seen, *memory, *([] if isinstance(total, tuple) else [total])]
    assert node.cost(place(13), 63).state_bytes == 4 * sum(x.numel() for x in kept) // 3
    assert node.cost(place(13), 4096) == node.cost(place(13), 63)
    assert effects(node) == ALL_EFFECTS - {Effect.FORKS}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("size", [0.01, 1.0, 100.0])
def test_what_a_slot_holds_is_no_larger_than_what_was_written(write: str, size: float) -> None:
    torch.manual_seed(0)
    strength, log_decay = gates_of(write, size * torch.randn(500, 8))
    held = torch.zeros(8)
    for now, kept in zip(strength, log_decay.exp(), strict=True):
        assert now.min() >= 0
        assert kept.max() <= 1
        assert kept.min() >= math.exp(-5) * (1 - 1e-6)
        held = kept * held + now
        assert held.max() < 1.01


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("write", WRITES)
def test_whatever_the_input_s_size_values_and_gradients_are_finite(write: str, size: float) -> None:
    module = build(Slots(write=write, feature="identity"))
    x = (size * torch.randn(2, 100, 12)).requires_grad_()
    y = module(x)
    assert y.isfinite().all()
    y.sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_a_slot_of_abc_is_the_weighted_mean_of_all_tokens_so_far() -> None:
    torch.manual_seed(0)
    z, k = torch.randn(1, 1, 63, 4), torch.randn(1, 1, 63, 5)
    strength, log_decay = (x[None, None] for x in gates_of("cumulative", z[0, 0]))
    _, (keys, _) = slots_loop(k, k, k, strength, log_decay)
    wanted = torch.softmax(z, 2).transpose(-1, -2) @ k
    torch.testing.assert_close(keys, wanted, rtol=1e-5, atol=1e-6)


def test_one_whose_logits_are_all_alike_reads_the_mean_of_what_its_slots_hold() -> None:
    module = build(Slots(out="none", feature="identity", heads=1))
    with torch.no_grad():
        module.project.weight[:12] = 0.0  # no queries: every slot scores 0
    x = torch.randn(1, 63, 12)
    _, _, v = (x @ module.project.weight[:36].T).chunk(3, -1)
    strength, log_decay = slot_gates(x @ module.project.weight[36:].T, "gated")
    held = torch.zeros(1, 16, 12)
    for i in range(63):
        kept = log_decay[:, i].exp().unsqueeze(-1)
        held = kept * held + strength[:, i].unsqueeze(-1) * v[:, i].unsqueeze(-2)
    torch.testing.assert_close(
        module(x)[:, -1], held.mean(1) @ module.out.weight.T, rtol=1e-5, atol=1e-6
    )


def test_a_token_that_chooses_a_slot_replaces_what_is_there() -> None:
    z = torch.tensor([[50.0, 0.0], [0.0, 50.0], [50.0, 0.0]])
    strength, log_decay = gates_of("softmax", z)
    torch.testing.assert_close(
        strength, F.one_hot(torch.tensor([0, 1, 0]), 2) * (1 - math.exp(-5)), rtol=1e-5, atol=1e-6
    )
    torch.testing.assert_close(strength + log_decay.exp(), torch.ones(3, 2))


def test_second_derivatives_are_right() -> None:
    for write in WRITES:
        module = build(Slots(write=write, heads=2, number=8), 5).double()
        x = torch.randn(1, 6, 5, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradgradcheck(module, (x,), fast_mode=True), write
