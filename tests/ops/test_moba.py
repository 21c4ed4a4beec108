import math
from fractions import Fraction

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.moba import BlockAttention, Moba

PLACE = Place(width=24, depth=1, hidden=1.0, vocabulary=17, context=128)


def built(moba: Moba, seed: int = 0) -> BlockAttention:
    torch.manual_seed(seed)
    module = instantiate(moba.plan(PLACE))
    assert isinstance(module, BlockAttention)
    return module


def by_hand(module: BlockAttention, x: Tensor) -> Tensor:
    """The paper's equations 2 to 8, query by query and head by head."""
    q, k, v = module._heads(x, 0)
    shared = q.shape[1] // k.shape[1]
    rows = []
    for b in range(len(x)):
        for i in range(x.shape[1]):
            own = i // module.block
            for h in range(q.shape[1]):
                keys, values, query = k[b, h // shared], v[b, h // shared], q[b, h, i]
                spans = [
                    range(n * module.block, min(i + 1, (n + 1) * module.block))
                    for n in range(own + 1)
                ]
                scores = [(query @ keys[list(span)].mean(0)).item() for span in spans]
                best = sorted(range(own), key=lambda n: scores[n], reverse=True)
                best = best[: module.count]
                seen = [j for n in sorted([*best, own]) for j in spans[n]]
                weights = (keys[seen] @ query / math.sqrt(q.shape[-1])).softmax(0)
                rows.append(weights @ values[seen])
    return module.out(torch.stack(rows).view(*x.shape[:2], -1))


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize(
    "moba",
    [
        Moba(),
        Moba(heads=2, kv_heads=Fraction(1, 2), block=8, count=4),
        Moba(count=1, block=32, positions="none"),
    ],
    ids=str,
)
def test_values_and_gradients_are_the_paper_s_query_by_query(moba, length):
    module = built(moba)
    x = torch.randn(1, length, 24, requires_grad=True)
    fast, slow = module(x), by_hand(module, x)
    weight = torch.linspace(-1, 1, fast.numel()).view_as(fast)
    given = [x, *module.parameters()]
    for got, wanted in zip(
        [fast, *torch.autograd.grad((fast * weight).sum(), given)],
        [slow, *torch.autograd.grad((slow * weight).sum(), given)],
        strict=True,
    ):
        assert (got - wanted).abs().max() <= 1e-5 * max(1.0, wanted.detach().abs().max().item())


@pytest.mark.parametrize("text", ["noise", "one token again and again"])
def test_what_a_query_selects_does_not_depend_on_what_follows(text):
    module = built(Moba(block=8, count=1))
    x = torch.randn(2, 100, 24) if text == "noise" else torch.randn(2, 1, 24).repeat(1, 100, 1)
    with torch.no_grad():
        whole = module(x)
        for length in (1, 7, 8, 9, 63):
            torch.testing.assert_close(module(x[:, :length]), whole[:, :length])


@pytest.mark.parametrize("positions", ["rope", "none"])
def test_a_text_of_one_token_decodes_to_the_same_though_all_blocks_tie(positions):
    module = built(Moba(block=8, count=1, positions=positions))
    x = torch.randn(2, 1, 24).repeat(1, 100, 1)
    state = module.init_state(2)
    with torch.no_grad():
        whole = module(x)
        for i in range(100):
            y, state = module.step(x[:, i], state)
            torch.testing.assert_close(y, whole[:, i], rtol=1e-5, atol=1e-5)


def test_a_far_block_is_read_when_its_keys_match_and_another_is_not():
    module = built(Moba(heads=1, block=8, count=1, positions="none"))
    with torch.no_grad():
        for linear in (module.query, module.key, module.value, module.out):
            linear.weight.copy_(torch.eye(24))
    x = 0.1 * torch.randn(1, 64, 24)
    x[0, 16:24, 0] += 5.0
    x[0, 63, 0] = 5.0
    x.requires_grad_()
    (slope,) = torch.autograd.grad(module(x)[0, 63].sum(), x)
    moved = slope[0].abs().amax(-1).nonzero().flatten().tolist()
    assert moved == [*range(16, 24), *range(56, 64)]


def test_cost_counts_chosen_pairs_and_promises_no_linear_time():
    moba = Moba(heads=1, block=8, count=1)
    scores = sum((i + 1) // 8 for i in range(63)) / 63
    pairs = sum(i % 8 + 1 + 8 * min(i // 8, 1) for i in range(63)) / 63
    turns_and_sums = 4 * 2 * 24 + 2 * 24
    wanted = 2 * 4 * 24 * 24 + turns_and_sums + 24 * (2 * scores + 4 * pairs)
    assert moba.cost(PLACE, 63).flops_forward == pytest.approx(wanted)
    promised = {Effect.LINEAR_TIME, Effect.CONSTANT_STATE, Effect.FORKS}
    assert not promised & effects(moba)
    assert {Effect.CAUSAL, Effect.STREAMABLE, Effect.LOSS_FREE} <= effects(moba)


def test_the_state_is_as_large_as_the_cost_says():
    module, state = built(Moba()), built(Moba()).init_state(1)
    for _ in range(63):
        _, state = module.step(torch.randn(1, 24), state)
    assert sum(4 * part.numel() for part in state) == Moba().cost(PLACE, 63).state_bytes


def test_half_precision_is_kept():
    module = built(Moba(block=8)).bfloat16()
    x = torch.randn(2, 63, 24).bfloat16()
    y, _ = module.step(x[:, 0], module.init_state(2))
    assert module(x).dtype == y.dtype == torch.bfloat16
    torch.testing.assert_close(y, module(x)[:, 0], rtol=0.05, atol=0.05)


def test_a_token_in_decoding_reads_what_it_chose_and_scores_a_block_at_a_time():
    module = built(Moba(heads=4, block=8, count=2))

    def flops(length: int) -> int:
        keys = torch.randn(1, 4, length, 6)
        means = keys[:, :, : length // 8 * 8].unflatten(2, (-1, 8)).mean(3)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module.step(torch.randn(1, 24), (keys, keys, means))
        return counter.get_total_flops()

    assert flops(8003) - flops(4003) == 2 * 4 * 6 * (4000 // 8)
