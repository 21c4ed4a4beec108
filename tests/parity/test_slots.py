"""`slots` against the slow recurrences of gated slot attention and ABC that fla keeps."""

import pytest
import torch
import torch.nn.functional as F

from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.kernels.slots import slots_chunked
from palmette.ops.slots import SlotMemory, Slots, cumulative_gates, slot_gates
from tests.parity.oracles import assert_parity, naive

gsa = naive("gsa", "naive_recurrent_gsa")  # [b t h k]
abc = naive("abc", "naive_recurrent_abc")  # [b h t k]
abc_by_sums = naive("abc", "naive_cumsum_abc")
BATCH, HEADS, KEY, VALUE, SLOTS = 2, 3, 8, 5, 6


def leaves(length: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(length)
    sizes = {"q": KEY, "k": KEY, "v": VALUE, "z": SLOTS}
    return {
        name: torch.randn(BATCH, HEADS, length, size).requires_grad_()
        for name, size in sizes.items()
    }


@pytest.mark.parametrize("length", [63, 100])
def test_gated_writes_are_gated_slot_attention(length: int) -> None:
    x = leaves(length)
    q, k, v, z = x.values()
    write, log_decay = slot_gates(z, "gated")
    wanted, _ = gsa(*(y.transpose(1, 2) for y in (q, k, v, write, log_decay)))
    given, _ = slots_chunked(q * KEY**-0.5, k, v, write, log_decay)
    assert_parity(given, wanted.transpose(1, 2), x)


@pytest.mark.parametrize("oracle", [abc, abc_by_sums], ids=["recurrent", "sums"])
@pytest.mark.parametrize("length", [63, 100])
def test_cumulative_writes_are_attention_with_bounded_memory(length: int, oracle) -> None:
    x = leaves(length)
    q, k, v, z = x.values()
    total = z.logcumsumexp(2)
    before = torch.cat([total[:, :, :1], total[:, :, :-1]], 2)
    given, _ = slots_chunked(q * KEY**-0.5, k, v, *cumulative_gates(z, total, before))
    wanted, _ = oracle(q, k, v, z)
    assert_parity(given, wanted, x)


@pytest.mark.parametrize("length", [63, 100])
def test_the_operator_is_the_layer_of_gated_slot_attention(length: int) -> None:
    """q, k, v through SiLU; f = sigmoid(z)^(1/8), w = 1 - f; W_o RMS(SiLU(o))."""
    torch.manual_seed(0)
    place = Place(width=12, depth=1, hidden=1.0, vocabulary=256, context=128)
    module = instantiate(Slots(heads=2).plan(place))
    assert isinstance(module, SlotMemory)
    with torch.no_grad():
        module.scale.add_(0.1 * torch.randn(12))
    x = torch.randn(BATCH, length, 12)
    q, k, v, z = (x @ module.project.weight.T).split([12, 12, 12, 32], -1)
    q, k, v = (F.silu(y).view(BATCH, length, 2, 6) for y in (q, k, v))
    g = F.logsigmoid(z).view(BATCH, length, 2, 16) / 8
    o, _ = gsa(q, k, v, 1.0 - g.exp(), g)
    wanted = F.rms_norm(F.silu(o).flatten(2), (12,), module.scale, eps=1e-5) @ module.out.weight.T
    assert_parity(module(x), wanted, dict(module.named_parameters()))
