import math

import pytest
import torch

from palmette.ops.kernels.attention import attention_loop
from palmette.ops.kernels.pooled_attention import (
    ended_pools,
    highest,
    marked,
    pooled,
    shares_of_entries,
    window_and_entries,
)


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("series", [1, 2])
@pytest.mark.parametrize("length", [0, 3, 8, 63])
def test_entries_are_softmax_means_feature_by_feature(series, length):
    size, k = 4, 5
    values, gates = noise(2, length, series * k), noise(2, length, series * k, seed=1)
    bias = noise(size, series * k, seed=2)
    got = pooled(values, gates, bias, series)
    assert got.shape == (2, length // size, k)
    for w in range(length // size):
        slots, logits = [], []
        for s in range(series):
            pool = w if s == series - 1 else w - 1
            part = slice(s * k, (s + 1) * k)
            for j in range(size if pool >= 0 else 0):
                slots.append(values[:, pool * size + j, part])
                logits.append(gates[:, pool * size + j, part] + bias[j, part])
        shares = torch.stack(logits).softmax(0)
        torch.testing.assert_close(got[:, w], (shares * torch.stack(slots)).sum(0))


def slow(q, tokens, entries, window, bias, sink):
    """One query after another."""
    out = torch.empty_like(q)
    for t in range(q.shape[2]):
        first = max(0, t + 1 - window)
        for b in range(len(q)):
            own = tokens[b, first : t + 1]
            held = torch.cat((own, entries[b]))
            added = torch.cat((torch.zeros(len(own)), bias[b % len(bias), t]))
            scores = q[b, :, t] @ held.T / math.sqrt(q.shape[-1]) + added
            weights = torch.cat((scores, sink[:, None]), -1).softmax(-1)[:, :-1]
            out[b, :, t] = weights @ held
    return out


@pytest.mark.parametrize("length", [1, 5, 63, 100])
@pytest.mark.parametrize("window", [16, 64])
@pytest.mark.parametrize("rows", [1, 2], ids=["one bias", "a bias a sequence"])
def test_blocks_compute_what_one_query_after_another_does(length, window, rows):
    q, tokens, entries = (
        noise(2, 3, length, 7),
        noise(2, length, 7, seed=1),
        noise(2, length // 4, 7, seed=2),
    )
    seen = torch.arange(length // 4) < ended_pools(length, 4, q.device)[:, None]
    bias = noise(rows, length, length // 4, seed=3).masked_fill(~seen, -math.inf)
    sink = noise(3, seed=4)
    leaves = [leaf.requires_grad_() for leaf in (q, tokens, entries, sink)]
    got = window_and_entries(q, tokens, entries, window=window, bias=bias, sink=sink)
    wanted = slow(q, tokens, entries, window, bias, sink)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    slopes = [
        torch.autograd.grad(y.square().sum(), leaves, retain_graph=True) for y in (got, wanted)
    ]
    for one, two in zip(*slopes, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_without_entries_it_is_attention_in_a_window_with_a_sink():
    q, tokens, sink = noise(2, 4, 63, 6), noise(2, 63, 6, seed=1), noise(4, seed=2)
    none = tokens[:, :0]
    got = window_and_entries(q, tokens, none, window=16, bias=torch.zeros(1, 63, 0), sink=sink)
    shared = tokens.unsqueeze(1)
    wanted = attention_loop(q, shared, shared, window=16, sink=sink)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)


def test_equal_scores_go_to_the_newest_however_many_there_are():
    scores = torch.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    assert highest(scores, 4).tolist() == [5, 1, 6, 4]
    unseen = torch.cat((scores, torch.full((9,), -math.inf)))
    assert highest(unseen, 4).tolist() == [5, 1, 6, 4]
    negative_zero = torch.tensor([0.0, -0.0, 0.0, -0.0])
    assert highest(negative_zero, 2).tolist() == [3, 2]


def test_fewer_entries_than_wanted_are_all_chosen():
    assert marked(highest(noise(2, 3), 8), 3).all()


def test_shares_are_the_mean_over_heads_of_a_softmax_over_what_is_seen():
    q, entries = noise(1, 2, 3, 4), noise(1, 3, 4, seed=1)
    seen = torch.ones(3, 3).tril().bool()
    shares = shares_of_entries(q, entries, seen)
    torch.testing.assert_close(shares.sum(-1), torch.ones(1, 3))
    assert not shares[0][~seen].any()
    by_head = [(q[0, h, 1] @ entries[0, :2].T / 2).softmax(-1) for h in range(2)]
    torch.testing.assert_close(shares[0, 1, :2], sum(by_head) / 2)
