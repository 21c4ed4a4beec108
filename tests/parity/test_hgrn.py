"""`scan` against the slow recurrence of HGRN that fla keeps."""

import pytest
import torch
import torch.nn.functional as F

from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.kernels.scan import scan
from palmette.ops.scan import DiagonalScan, Scan
from tests.parity.oracles import assert_near, assert_parity, naive

hgrn = naive("hgrn", "naive_recurrent_hgrn")


@pytest.mark.parametrize("length", [63, 100])
def test_the_kernel_is_its_recurrence(length: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, length, 7, requires_grad=True)
    g = (-3.0 * torch.rand(2, length, 7)).requires_grad_()
    state = torch.randn(2, 7)
    wanted, end = hgrn(x, g, state, output_final_state=True)
    given = scan(g.exp(), x, state)
    assert_near("the last state", given[:, -1], end, 1e-5)
    assert_parity(given, wanted, {"x": x, "g": g})


@pytest.mark.parametrize("length", [63, 100])
def test_the_operator_is_its_layer(length: int) -> None:
    """SiLU(W_i x) (1 - f) with f over a floor, the recurrence, RMS norm and swish gate, W_o."""
    torch.manual_seed(0)
    place = Place(width=12, depth=1, hidden=1.0, vocabulary=256, context=128)
    module = instantiate(Scan(conv=0, out_norm="rms").plan(place))
    assert isinstance(module, DiagonalScan)
    with torch.no_grad():
        module.out_scale.add_(0.1 * torch.randn(12))
    x = torch.randn(2, length, 12)
    into, gate, forget = (x @ module.project.weight.T).chunk(3, -1)
    floor = torch.sigmoid(module.gates.floor)
    f = floor + (1.0 - floor) * torch.sigmoid(forget)
    h, _ = hgrn(F.silu(into) * (1.0 - f), f.log())
    normed = F.rms_norm(h, (12,), module.out_scale, eps=1e-5)
    wanted = (normed * F.silu(gate)) @ module.out.weight.T
    assert_parity(module(x), wanted, dict(module.named_parameters()))
