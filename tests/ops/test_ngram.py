"""Engram re-derived from its equations, in plain loops."""

import math

import pytest
import torch

import palmette
from palmette.grammar.node import effects
from palmette.grammar.types import ALL_EFFECTS, Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.kernels.lookup import MULTIPLIERS
from palmette.ops.ngram import HashedMemory, Ngram


def place(width: int, vocabulary: int = 272) -> Place:
    return Place(width=width, depth=1, hidden=1.0, vocabulary=vocabulary, context=128)


def build(node: Ngram, width: int, vocabulary: int = 272) -> HashedMemory:
    torch.manual_seed(0)
    module = instantiate(node.plan(place(width, vocabulary)))
    with torch.no_grad():
        for parameter in module.parameters():  # so that no scale is 1 and the tables count
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return module


def rederived(module: HashedMemory, x: torch.Tensor, ids: list[int], before: int) -> torch.Tensor:
    """One sequence, token by token, n-gram by n-gram, head by head; [t d]."""

    def rms(vector: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return vector / (vector.square().mean() + 1e-5).sqrt() * scale

    d, longest = x.shape[1], module.most
    values = []
    for t in range(len(ids)):
        read, start = [], 0
        for n in range(2, longest + 1):
            grams = [ids[t - back] if t >= back else before for back in range(n)]
            mix = 0
            for gram, multiplier in zip(grams, MULTIPLIERS[:n], strict=True):
                mix ^= gram * multiplier
            for prime in module.sizes[n - 2]:
                read.append(module.tables[start + mix % prime])
                start += prime
        e = torch.cat(read)
        key = module.key.weight @ e + module.key.bias
        s = rms(key, module.key_norm.weight) @ rms(x[t], module.query_norm.weight) / math.sqrt(d)
        gate = 1 / (1 + torch.exp(-torch.sign(s) * torch.sqrt(torch.abs(s))))
        values.append(gate * (module.value.weight @ e + module.value.bias))
    outputs = []
    for t in range(len(ids)):
        mixed = torch.zeros(d, dtype=x.dtype)
        for tap in range(4):
            at = t - longest * (3 - tap)
            if at >= 0:
                mixed = mixed + module.taps[:, tap] * rms(values[at], module.value_norm.weight)
        outputs.append(values[t] + mixed / (1 + torch.exp(-mixed)))
    return torch.stack(outputs)


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize(
    "node",
    [Ngram(fold=False), Ngram(fold=False, most=2, heads=2), Ngram(fold=False, most=4, heads=1)],
    ids=["engram", "bigrams", "four-grams"],
)
def test_is_what_the_equations_say_in_values_and_gradients(node, length):
    """Gradients in double: where s is near 0 its root is steep, and fp32 rounds s."""
    module = build(node, 10)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, length, 10, generator=generator)
    ids = torch.randint(272, (1, length), generator=generator)
    with torch.no_grad():
        wanted = rederived(module, x[0], ids[0].tolist(), before=272)
        torch.testing.assert_close(module(x, ids)[0], wanted, rtol=1e-5, atol=1e-5)

    module, x = module.double(), x.double().requires_grad_()
    weights = torch.randn(length, 10, generator=generator)
    leaves = [x, *module.parameters()]
    slopes = torch.autograd.grad((module(x, ids)[0] * weights).sum(), leaves)
    wanted = rederived(module, x[0], ids[0].tolist(), before=272)
    right = torch.autograd.grad((wanted * weights).sum(), leaves)
    torch.testing.assert_close(slopes, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("fold", "same"), [(True, True), (False, False)])
def test_folding_reads_case_and_white_space_as_one(fold, same):
    module = build(Ngram(fold=fold), 8)
    x = torch.randn(1, 11, 8)
    written, plain, other = (
        module(x, torch.tensor([list(text)]))
        for text in (b"A\tBc d\nE[f]", b"a bc d e[f]", b"a bc d e[f}")
    )
    assert torch.equal(written, plain) is same
    assert not torch.equal(plain, other)


def test_markers_beyond_the_bytes_are_not_folded():
    module = build(Ngram(), 8)
    markers = torch.arange(256, 272).unsqueeze(0)
    assert torch.equal(module._folded(markers), markers)


def test_rows_that_a_token_does_not_read_are_idle():
    node = Ngram(heads=2, most=3)
    cost = node.cost(place(20), 63)
    module = build(node, 20)
    assert cost.parameters == sum(p.numel() for p in module.parameters())
    assert cost.idle == module.tables.numel() - 4 * module.tables.shape[1]
    assert cost.flops_forward == node.cost(place(20, vocabulary=5000), 63).flops_forward


def test_it_reads_ids_and_says_so():
    assert effects(Ngram()) == ALL_EFFECTS - {Effect.TOKEN_FREE, Effect.FORKS}
    assert HashedMemory.reads_ids


def test_a_model_with_it_learns_what_follows_a_pair():
    """A language in which each token is decided by the two before it."""
    model = palmette.build(
        "pre(ngram(heads=2, most=2, rows=5))", params=8_000, vocab_size=16, seed=0
    )
    table = torch.randint(16, (16, 16), generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(4)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(40):
        ids = torch.randint(16, (16, 24), generator=generator)
        for t in range(2, 24, 3):
            ids[:, t] = table[ids[:, t - 2], ids[:, t - 1]]
        logits = model(ids)[:, 1:-1:3]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 2::3].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 1.6  # chance is 2.77
