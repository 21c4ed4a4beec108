"""NSA against fla's slow forms of its readings.

fla shares one set of keys and values among the readings and compresses by the mean, so ours gets
the same matrix three times and `compress='mean'`. Its window calls a GPU kernel; torch's attention
with a mask takes that place here.
"""

import sys
from fractions import Fraction
from importlib.util import find_spec
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._positions import rotate_by_position
from palmette.ops.nsa import NativeSparseAttention, Nsa
from tests.parity.oracles import assert_near, assert_parity, naive

PLACE = Place(width=24, depth=1, hidden=1.0, vocabulary=17, context=128)


# What the oracle's file imports beside torch; none of the forms used here calls it.
UNUSED = {
    "fla": (),
    "fla.ops": (),
    "fla.ops.utils": ("prepare_chunk_offsets",),
    "fla.ops.utils.pooling": ("mean_pooling",),
    "flash_attn": ("flash_attn_func", "flash_attn_varlen_func"),
}


@pytest.fixture(autouse=True)
def _without_triton(monkeypatch):
    spec = find_spec("fla")
    for module, names in UNUSED.items():
        stub = ModuleType(module)
        stub.__spec__ = spec
        for name in names:
            setattr(stub, name, None)
        monkeypatch.setitem(sys.modules, module, stub)


def fla_reading(
    module: NativeSparseAttention, q: Tensor, k: Tensor, v: Tensor, gates: Tensor, count: int
) -> Tensor:
    """fla's `naive_nsa` out of its parts, without its floor of 16 on the heads of a group."""
    block, scale = module.block, q.shape[-1] ** -0.5
    length = q.shape[1]
    blocks = [range(i, min(length, i + block)) for i in range(0, length, block)]
    k_block, v_block = (
        torch.stack([x[:, list(span)].mean(1) for span in blocks], 1) for x in (k, v)
    )
    far, _ = naive("nsa", "naive_nsa_compression")(q, k_block, v_block, block, scale)
    chosen = naive("nsa", "naive_nsa_topk")(q, k_block, count, block, scale)
    few = naive("nsa", "naive_nsa_selection")(q, k, v, chosen, block, scale)
    place = torch.arange(length)
    distance = place[:, None] - place
    near = F.scaled_dot_product_attention(
        *(x.transpose(1, 2) for x in (q, k, v)),
        attn_mask=(distance >= 0) & (distance < module.window),
        enable_gqa=True,
    ).transpose(1, 2)
    parts = zip(gates.sigmoid().chunk(3, -1), (far, few, near), strict=True)
    return sum(gate.unsqueeze(-1) * part for gate, part in parts)


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize(
    "nsa",
    [
        Nsa(compress="mean", block=8),
        Nsa(compress="mean", block=8, count=4, kv_heads=Fraction(1, 4), positions="none"),
        Nsa(compress="mean", heads=8, kv_heads=Fraction(1, 4), window=16, block=8, count=2),
    ],
    ids=str,
)
def test_all_three_readings_are_the_published_ones(nsa, length):
    torch.manual_seed(0)
    module = instantiate(nsa.plan(PLACE))
    assert isinstance(module, NativeSparseAttention)
    with torch.no_grad():
        for linear in (module.key, module.value):
            linear.weight.copy_(linear.weight.chunk(3)[0].repeat(3, 1))
    x = torch.randn(2, length, 24, requires_grad=True)
    g, k = nsa.sizes(24)
    query = module.query(x).unflatten(-1, (nsa.heads, k))
    key, value = (
        linear(x).unflatten(-1, (3, g, k))[:, :, 0] for linear in (module.key, module.value)
    )
    if nsa.positions == "rope":
        query, key = rotate_by_position(query), rotate_by_position(key)
    read = fla_reading(module, query, key, value, module.gate(x), nsa.count + 3)
    wanted = module.out(read.flatten(2))
    # Theirs sums three readings' gradients in one matrix, ours holds each reading's in its own.
    leaves = {"x": x, "query": module.query.weight, "gate": module.gate.weight}
    got = module(x)
    assert_parity(got, wanted, leaves | {"out": module.out.weight})
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    for linear in (module.key, module.value):
        ours, theirs = (
            torch.autograd.grad((y * weights).sum(), linear.weight, retain_graph=True)[0]
            for y in (got, wanted)
        )
        ours, theirs = (slope.view(3, g * k, 24).sum(0) for slope in (ours, theirs))
        assert_near("keys and values", ours, theirs, 1e-5)
