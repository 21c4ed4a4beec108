import itertools
from fractions import Fraction

import pytest
import torch
from torch import nn

from palmette.grammar.node import effects, fields_of
from palmette.grammar.types import ALL_EFFECTS, Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._scan_gates import HgrnGates, RglruGates, SelectiveGates
from palmette.ops.scan import DiagonalScan, Scan

GATES, EXPAND = (fields_of(Scan)[name].choices for name in ("gates", "expand"))


def place(width: int) -> Place:
    return Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=128)


def build(node: Scan, width: int, seed: int = 0) -> DiagonalScan:
    torch.manual_seed(seed)
    module = instantiate(node.plan(place(width)))
    assert isinstance(module, DiagonalScan)
    return module


@pytest.mark.parametrize("width", [1, 13])
@pytest.mark.parametrize("gates", GATES)
def test_parameters_in_closed_form_equal_numel(gates: str, width: int) -> None:
    with torch.device("meta"):
        for expand, conv, gate, on in itertools.product(
            EXPAND, (0, 3), ("silu", "none"), (False, True)
        ):
            node = Scan(
                gates=gates,
                expand=expand,
                conv=conv,
                bias=on,
                skip=on,
                out_norm="rms" if on else "none",
                out_gate=gate,
            )
            built = sum(p.numel() for p in instantiate(node.plan(place(width))).parameters())
            assert node.cost(place(width), 63).parameters == built, node


@pytest.mark.parametrize("gates", GATES)
def test_state_bytes_are_those_that_decoding_keeps(gates: str) -> None:
    for conv in (0, 4):
        node = Scan(gates=gates, conv=conv, expand=Fraction(3, 2))
        seen, held = build(node, 13).init_state(3)
        kept = 4 * (seen.numel() + held.numel()) // 3
        assert node.cost(place(13), 63).state_bytes == kept
        assert node.cost(place(13), 4096) == node.cost(place(13), 63)
    assert effects(node) == ALL_EFFECTS - {Effect.FORKS}


@pytest.mark.parametrize("gates", GATES)
@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_whatever_the_input_s_size_values_and_gradients_are_finite(gates: str, size: float) -> None:
    module = build(Scan(gates=gates, bias=True, skip=True), 12)
    x = size * torch.randn(2, 100, 12)
    x[:, 50:] = x[:, :1]  # a constant input holds the gates where they are
    y = module(x.requires_grad_())
    assert y.isfinite().all()
    y.sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("gates", ["hgrn", "rglru"])
def test_a_state_is_never_much_larger_than_what_came_in(gates: str) -> None:
    """HGRN keeps a mean of its inputs; the RG-LRU a sum whose squared weights are at most 1."""
    torch.manual_seed(0)
    module = HgrnGates(channels=12) if gates == "hgrn" else RglruGates(channels=12)
    u, z = torch.randn(2, 512, 12), 3.0 * torch.randn(2, 512, 12)
    largest = 1.0 if gates == "hgrn" else 2.0
    assert module(u, z).abs().max() <= largest * u.abs().max()


def test_hgrn_never_forgets_below_its_floor() -> None:
    gates = HgrnGates(channels=5)
    floor = torch.sigmoid(gates.floor)
    assert torch.allclose(floor, torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9]))
    z = torch.full((1, 2, 5), -100.0)  # forgets all it can
    u = torch.tensor([1.0, 0.0]).view(1, 2, 1).expand(1, 2, 5)
    states = gates(u, z)
    torch.testing.assert_close(states[0, 0], 1.0 - floor)
    torch.testing.assert_close(states[0, 1], floor * (1.0 - floor))


def test_a_closed_gate_of_the_rglru_holds_what_it_has() -> None:
    torch.manual_seed(0)
    gates = RglruGates(channels=8)
    with torch.no_grad():
        gates.weight.zero_()
        gates.bias[0] = -100.0  # r = 0, so a = 1
    states = gates(torch.randn(1, 63, 8), torch.empty(1, 63, 0))
    assert states.abs().max() < 0.2  # only the 1e-3 of its input that the root of 1e-6 lets in
    held = torch.full((1, 8), 5.0)
    y, _ = gates.step(torch.zeros(1, 8), torch.empty(1, 0), held)
    torch.testing.assert_close(y, held)


def test_constant_decay_is_a_convolution() -> None:
    module = build(Scan(gates="constant_4", conv=0, out_gate="none", activation="identity"), 6)
    gates = module.gates
    nothing = torch.empty(1, 63, 0)
    impulse = torch.zeros(1, 63, 6)
    impulse[:, 0] = 1.0
    response = gates(impulse, nothing)[0]
    u = torch.randn(1, 63, 6)
    wanted = torch.stack(
        [(response[: i + 1].flip(0) * u[0, : i + 1]).sum(0) for i in range(63)]
    ).unsqueeze(0)
    torch.testing.assert_close(gates(u, nothing), wanted, rtol=1e-4, atol=1e-5)


def test_the_selective_scan_can_ignore_a_token() -> None:
    torch.manual_seed(0)
    gates = SelectiveGates(channels=6, states=4, rank=1)
    with torch.no_grad():
        gates.step_up.zero_()
        gates.step_bias.fill_(-100.0)  # dt = 0
    held = torch.randn(1, 6, 4)
    _, after = gates.step(torch.randn(1, 6), torch.empty(1, 0), held)
    assert torch.equal(after, held)


def test_the_optimiser_does_not_decay_rates_floors_biases_and_scales() -> None:
    exempt = {
        gates: {
            n for n, p in exempt_parameters(Scan(gates=gates, bias=True, skip=True, out_norm="rms"))
        }
        for gates in ("hgrn", "rglru", "selective", "constant")
    }
    common = {"bias", "skip", "out_scale"}
    assert exempt["hgrn"] == common | {"gates.floor"}
    assert exempt["rglru"] == common | {"gates.bias", "gates.rate"}
    assert exempt["selective"] == common | {"gates.step_bias", "gates.A_log"}
    assert exempt["constant"] == common | {"gates.step_log", "gates.A_log"}


def exempt_parameters(node: Scan) -> list[tuple[str, nn.Parameter]]:
    module = build(node, 8)
    return [(n, p) for n, p in module.named_parameters() if getattr(p, "no_decay", False)]


def test_second_derivatives_are_right_for_every_gate() -> None:
    for gates in GATES:
        module = build(Scan(gates=gates, skip=True, out_norm="rms"), 5).double()
        x = torch.randn(1, 6, 5, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradgradcheck(module, (x,), fast_mode=True), gates
