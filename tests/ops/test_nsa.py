from fractions import Fraction

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.nsa import NativeSparseAttention, Nsa

PLACE = Place(width=24, depth=1, hidden=1.0, vocabulary=17, context=128)


def built(nsa: Nsa, seed: int = 0) -> NativeSparseAttention:
    torch.manual_seed(seed)
    module = instantiate(nsa.plan(PLACE))
    assert isinstance(module, NativeSparseAttention)
    return module


@pytest.mark.parametrize("text", ["noise", "one token again and again"])
@pytest.mark.parametrize("compress", ["mlp", "mean"])
def test_what_a_query_reads_does_not_depend_on_what_follows(text, compress):
    module = built(Nsa(block=8, compress=compress))
    x = torch.randn(2, 100, 24) if text == "noise" else torch.randn(2, 1, 24).repeat(1, 100, 1)
    with torch.no_grad():
        whole = module(x)
        for length in (1, 7, 8, 9, 63):
            torch.testing.assert_close(module(x[:, :length]), whole[:, :length])


@pytest.mark.parametrize("positions", ["rope", "none"])
@pytest.mark.parametrize("compress", ["mlp", "mean"])
def test_a_text_of_one_token_decodes_to_the_same_though_blocks_tie(positions, compress):
    module = built(Nsa(block=8, positions=positions, compress=compress))
    x = torch.randn(2, 1, 24).repeat(1, 100, 1)
    state = module.init_state(2)
    with torch.no_grad():
        whole = module(x)
        for i in range(100):
            y, state = module.step(x[:, i], state)
            torch.testing.assert_close(y, whole[:, i], rtol=1e-5, atol=1e-5)


def test_heads_that_share_keys_share_their_selection():
    """With the other gates shut, one group's four heads read the same five blocks of twelve."""
    module = built(Nsa(heads=4, kv_heads=Fraction(1, 4), block=8, count=2))
    x = torch.randn(1, 96, 24)
    q, k, v = module._heads(x, 0)
    seen = []
    for head in range(4):
        values = v[1].detach().clone().requires_grad_()
        blocks = module.compress_keys(k[0].unflatten(2, (12, 8)))
        _, few = module._read(q, blocks, blocks, k[1], values)
        (slope,) = torch.autograd.grad(few[0, head, -1].sum(), values)
        seen.append(slope[0, 0].abs().amax(-1).nonzero().flatten().tolist())
    assert seen[0] == seen[1] == seen[2] == seen[3]
    assert len(seen[0]) == 5 * 8
    assert seen[0][:8] == list(range(8))
    assert seen[0][-16:] == list(range(80, 96))


def test_before_a_block_has_ended_the_compressed_reading_is_nothing():
    module = built(Nsa(block=8))
    q, k, v = module._heads(torch.randn(2, 63, 24), 0)
    blocks = torch.randn(2, 2, 7, 6)
    far, _ = module._read(q, blocks, blocks, k[1], v[1])
    assert not far[:, :, :7].any()
    torch.testing.assert_close(far[:, ::2, 7], blocks[:, :, 0])
    assert far[:, :, 8:].abs().amin(-1).amin() > 0


def test_the_first_block_s_key_is_the_mlp_of_its_keys_marked_with_their_places():
    module = built(Nsa(block=8))
    torch.nn.init.normal_(module.compress_keys.places)
    x = torch.randn(1, 2, 3, 8, 6)
    places, inner, outer = module.compress_keys.parameters()
    marked = torch.cat([x[0, 1, 0, j] + places[j] for j in range(8)])
    wanted = outer @ torch.nn.functional.gelu(inner @ marked)
    torch.testing.assert_close(module.compress_keys(x)[0, 1, 0], wanted, rtol=1e-5, atol=1e-6)


def test_the_selector_s_weights_train_through_the_compressed_reading():
    module = built(Nsa())
    module(torch.randn(2, 63, 24)).square().sum().backward()
    for name, parameter in module.compress_keys.named_parameters():
        assert parameter.grad.abs().max() > 1e-7, name
    third = len(module.key.weight) // 3
    assert module.key.weight.grad[:third].abs().max() > 1e-7


@pytest.mark.parametrize(
    "nsa", [Nsa(), Nsa(compress="mean", heads=2, block=8, count=4, window=16)], ids=str
)
def test_cost_counts_what_each_reading_sees(nsa):
    length, h = 100, nsa.heads
    g, k = nsa.sizes(24)
    ended = sum((i + 1) // nsa.block for i in range(length)) / length
    few = [
        i % nsa.block + 1 + nsa.block * min(i // nsa.block, nsa.count + 2) for i in range(length)
    ]
    near = sum(min(i + 1, nsa.window) for i in range(length)) / length
    module = built(nsa)
    matrices = sum(
        p.numel() for name, p in module.named_parameters() if not name.startswith("compress")
    )
    block = sum(p.numel() for name, p in module.named_parameters() if "ter.weight" in name) + sum(
        p.numel() for name, p in module.named_parameters() if "inner" in name
    )
    wanted = 2 * matrices + 4 * h * k * (ended + sum(few) / length + near)
    wanted += 2 * g * block / nsa.block + 2 * g * k
    wanted += 6 * h * k + 4 * (h + 3 * g) * (k - k % 2)
    assert nsa.cost(PLACE, length).flops_forward == pytest.approx(wanted)


def test_the_state_is_as_large_as_the_cost_says_and_grows():
    nsa = Nsa()
    module, state = built(nsa), built(nsa).init_state(1)
    for _ in range(63):
        _, state = module.step(torch.randn(1, 24), state)
    kept = sum(4 * part.numel() for half in state for part in half)
    assert kept == nsa.cost(PLACE, 63).state_bytes
    assert not {Effect.LINEAR_TIME, Effect.CONSTANT_STATE, Effect.FORKS} & effects(nsa)
    assert {Effect.CAUSAL, Effect.STREAMABLE, Effect.LOSS_FREE} <= effects(nsa)


def test_half_precision_is_kept():
    module = built(Nsa(block=8)).bfloat16()
    x = torch.randn(2, 63, 24).bfloat16()
    y, _ = module.step(x[:, 0], module.init_state(2))
    assert module(x).dtype == y.dtype == torch.bfloat16
    torch.testing.assert_close(y, module(x)[:, 0], rtol=0.05, atol=0.05)


def test_a_token_in_decoding_reads_what_it_selected_and_one_key_of_each_block():
    nsa = Nsa(block=8)
    module = built(nsa)
    g, k = nsa.sizes(24)

    def flops(length: int) -> int:
        sizes = (length // 8, length % 8, length, nsa.window)
        half = tuple(torch.randn(1, g, size, k) for size in sizes)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.step(torch.randn(1, 24), (half, half))
        return counter.get_total_flops()

    assert flops(8003) - flops(4003) == 4 * nsa.heads * k * (4000 // 8)
