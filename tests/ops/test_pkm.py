from fractions import Fraction

import pytest
import torch

from palmette.grammar.node import effects
from palmette.grammar.types import ALL_EFFECTS, Effect
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.pkm import Pkm, ProductKeyMemory, best


def place(width: int, hidden: float = 1.0) -> Place:
    return Place(width=width, depth=1, hidden=hidden, vocabulary=256, context=128)


def build(node: Pkm, width: int) -> ProductKeyMemory:
    torch.manual_seed(0)
    return instantiate(node.plan(place(width)))


def among_all_slots(module: ProductKeyMemory, x: torch.Tensor) -> torch.Tensor:
    """The definition without the product trick: every slot is scored; one token, [d]."""
    n = module.keys.shape[2]
    queries = (module.query.weight @ x).view(module.heads, -1)
    y = torch.zeros_like(x)
    for query, (one, other) in zip(queries, module.keys, strict=True):
        query = query / (query.square().mean() + 1e-5).sqrt() * module.norm.weight
        first, second = query.chunk(2)
        scores = [
            (one[i] @ first + other[j] @ second, i * n + j) for i in range(n) for j in range(n)
        ]
        scores.sort(key=lambda pair: -float(pair[0].detach()))
        kept = scores[: module.top]
        weights = torch.softmax(torch.stack([score for score, _ in kept]), 0)
        for weight, (_, slot) in zip(weights, kept, strict=True):
            y = y + weight * module.values[slot]
    return y


@pytest.mark.parametrize(
    "node", [Pkm(), Pkm(heads=1, top=4, ratio=Fraction(8))], ids=["usual", "one head"]
)
def test_finds_the_best_of_all_slots_with_the_same_gradients(node):
    module = build(node, 17)
    with torch.no_grad():
        module.norm.weight.add_(0.2 * torch.randn(module.norm.weight.shape))
    x = torch.randn(1, 6, 17, requires_grad=True)
    weights = torch.randn(6, 17)
    got, wanted = module(x)[0], torch.stack([among_all_slots(module, token) for token in x[0]])
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5)
    leaves = [x, *module.parameters()]
    slopes = torch.autograd.grad((got * weights).sum(), leaves)
    right = torch.autograd.grad((wanted * weights).sum(), leaves)
    torch.testing.assert_close(slopes, right, rtol=1e-5, atol=1e-5)


def test_ties_go_to_the_later_place_however_the_rows_are_batched():
    scores = torch.zeros(3, 5, 40)
    wanted = torch.tensor([39, 38, 37, 36])
    assert (best(scores, 4) == wanted).all()
    assert torch.equal(best(scores[:1, :1], 4)[0, 0], wanted)


def test_sub_keys_of_all_heads_learn_from_the_values_that_were_read():
    module = build(Pkm(heads=2, top=4), 24)
    (module(torch.randn(4, 63, 24)) * torch.randn(24)).sum().backward()
    assert (module.keys.grad.abs().sum((2, 3)) > 0).all()


def test_slots_that_a_token_does_not_read_are_idle():
    node, module = (
        Pkm(heads=2, top=4, ratio=Fraction(16)),
        build(Pkm(heads=2, top=4, ratio=Fraction(16)), 36),
    )
    cost = node.cost(place(36), 63)
    assert module.values.shape == (24 * 24, 36)
    assert cost.parameters == sum(p.numel() for p in module.parameters())
    assert cost.idle == (24 * 24 - 2 * 4) * 36
    assert cost.flops_forward == 2 * (36 * 36 + 2 * 2 * 24 * 9 + 8 * 36) + 2 * 4 * 18


def test_sizing_stretches_the_memory_and_a_small_one_reads_what_there_is():
    assert Pkm().cost(place(64, 1.25), 1).parameters > Pkm().cost(place(64, 0.8), 1).parameters
    tiny = build(Pkm(top=32, ratio=Fraction(2)), 5)
    assert tiny.top == tiny.keys.shape[2] == 3
    assert tiny(torch.randn(1, 7, 5)).isfinite().all()


def test_it_promises_all_but_a_second_derivative():
    assert effects(Pkm()) == ALL_EFFECTS - {Effect.TWICE_DIFFERENTIABLE}
