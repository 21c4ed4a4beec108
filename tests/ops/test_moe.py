import pytest
import torch
import torch.nn.functional as F

import palmette
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model.build import build_at, instantiate
from palmette.ops._base import Place
from palmette.ops._experts import hashed_experts, imbalance, router_scores
from palmette.ops.moe import BALANCE, Moe

PLACE = Place(width=13, depth=1, hidden=1.0, vocabulary=272, context=100)


def build(node, seed=0):
    torch.manual_seed(seed)
    return instantiate(node.plan(PLACE))


def inputs(length, rows=2, seed=0):
    return torch.randn(rows, length, 13, generator=torch.Generator().manual_seed(seed))


def ids_of(length, rows=2):
    return torch.randint(272, (rows, length), generator=torch.Generator().manual_seed(3))


def slow(model, x, ids):
    """One token after another, its experts in turn."""
    rows = []
    for token, number in zip(x.flatten(0, 1), ids.flatten(), strict=True):
        scores = router_scores(model.router @ token, model.scores)
        chosen = scores.topk(model.top).indices
        if model.reads_ids:
            chosen = hashed_experts(number, model.experts, model.top)
        shares = scores[chosen] / (scores[chosen].sum() if model.top > 1 else 1.0)
        y = model.shared(token[None, None])[0, 0] if model.shared is not None else 0
        for expert, share in zip(chosen, shares, strict=True):
            gate, value = (model.up[expert] @ token).chunk(2)
            y = y + share * (model.down[expert] @ (F.silu(gate) * value))
        rows.append(y)
    return torch.stack(rows).view_as(x)


@pytest.mark.parametrize("scores", ["softmax", "sigmoid", "sqrtsoftplus"])
@pytest.mark.parametrize(
    ("top", "route", "shared"),
    [(2, "learned", 1), (1, "learned", 0), (4, "hash", 2), (1, "hash", 1)],
)
def test_it_is_what_token_after_token_computes(scores, top, route, shared):
    model = build(Moe(experts=8, top=top, shared=shared, scores=scores, route=route)).eval()
    x, ids = inputs(63), ids_of(63)
    got, wanted = model(x, ids), slow(model, x, ids)
    torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-6)
    slope = inputs(63, seed=1)
    leaves = list(model.parameters())
    slopes = [torch.autograd.grad((y * slope).sum(), leaves) for y in (got, wanted)]
    for one, two in zip(*slopes, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("route", ["learned", "hash"])
def test_decoding_computes_what_training_does(route):
    model = build(Moe(route=route)).eval()
    x, ids = inputs(63), ids_of(63)
    state, outputs = model.init_state(2), []
    for t in range(63):
        y, state = model.step(x[:, t], state, ids[:, t])
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, 1), model(x, ids), rtol=1e-5, atol=1e-6)


def test_a_tie_goes_to_the_first_experts():
    model = build(Moe(experts=8, top=2, shared=0)).eval()
    with torch.no_grad():
        model.router.zero_()
    x = inputs(5)
    model(x).sum().backward()
    used = model.down.grad.flatten(1).any(1)
    assert used.tolist() == [True, True] + [False] * 6


@pytest.mark.parametrize("route", ["learned", "hash"])
@pytest.mark.parametrize("scores", ["softmax", "sigmoid", "sqrtsoftplus"])
def test_scores_that_vanish_leave_outputs_and_gradients_finite(scores, route):
    model = build(Moe(scores=scores, route=route))
    with torch.no_grad():
        model.router *= 1e4
    x = inputs(63).requires_grad_()
    y = model(x, ids_of(63))
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert model.router.grad.isfinite().all()


@pytest.mark.parametrize(("experts", "top"), [(8, 2), (4, 1), (16, 4)])
def test_one_token_leaves_idle_what_the_cost_says(experts, top):
    node = Moe(experts=experts, top=top, balance="none")
    model = build(node)
    model(inputs(1, rows=1)).sum().backward()
    expert = model.up[0].numel() + model.down[0].numel()
    used = int(model.down.grad.flatten(1).any(1).sum())
    assert used == top
    price = node.cost(PLACE, 1)
    assert price.idle == (experts - used) * expert
    assert price.active == price.parameters - price.idle


def test_at_the_start_every_expert_gets_tokens():
    for node in (Moe(experts=16, top=1), Moe(experts=16, top=1, route="hash")):
        model = build(node)
        model(inputs(63), ids_of(63)).square().sum().backward()
        assert model.down.grad.flatten(1).any(1).all()


def test_ids_have_experts_of_their_own_that_differ():
    ids = torch.arange(272)
    for experts, top in ((4, 4), (8, 2), (16, 4)):
        chosen = hashed_experts(ids, experts, top)
        assert all(len(set(row)) == top for row in chosen.tolist())
        counts = torch.bincount(chosen.flatten(), minlength=experts)
        assert counts.min() == counts.max()


def test_a_hash_route_asks_the_ids_and_a_learned_one_does_not():
    x, ids = inputs(20), ids_of(20)
    hashed, learned = build(Moe(route="hash")), build(Moe())
    assert not hashed(x, ids).allclose(hashed(x, (ids + 1) % 272))
    assert learned(x).equal(learned(x, (ids + 1) % 272))
    assert (hashed.reads_ids, learned.reads_ids) == (True, False)
    assert Effect.TOKEN_FREE not in effects(Moe(route="hash"))
    assert Effect.TOKEN_FREE in effects(Moe())


def test_the_imbalance_is_one_if_even_and_the_number_of_experts_if_not():
    even = torch.eye(4).repeat(1, 3, 1)
    assert imbalance(even, torch.arange(4).repeat(3)[None, :, None]).item() == pytest.approx(1)
    one = torch.tensor([1.0, 0, 0, 0]).expand(1, 12, 4)
    assert imbalance(one, torch.zeros(1, 12, 1, dtype=torch.long)).item() == pytest.approx(4)


def test_the_balance_loss_adds_its_gradient_to_the_routers_and_to_the_inputs():
    balanced, free = build(Moe()), build(Moe(balance="none"))
    x = inputs(63)
    assert balanced(x).equal(free(x))
    scores = router_scores(x @ balanced.router.T, "softmax")
    chosen = scores.topk(2).indices
    (wanted,) = torch.autograd.grad(BALANCE * imbalance(scores, chosen), balanced.router)
    grads = []
    for model in (balanced, free):
        model(x).sum().backward()
        grads.append(model.router.grad)
    torch.testing.assert_close(grads[0] - grads[1], wanted, rtol=1e-3, atol=1e-5)
    balanced.eval().zero_grad()
    balanced(x).sum().backward()
    assert balanced.router.grad.equal(grads[1])


def test_the_balance_loss_spreads_tokens():
    """From a router that sends all tokens to two experts, with and without the loss."""
    torch.manual_seed(0)
    spread = {}
    for balance in ("loss", "none"):
        model = build(Moe(balance=balance, shared=0))
        with torch.no_grad():
            model.router[:, 0] = 0.0
            model.router[:2, 0] = 1.0
        optimizer = torch.optim.Adam([model.router], lr=3e-2)
        for step in range(60):
            x = inputs(63, seed=step)
            x[..., 0] = 4.0
            optimizer.zero_grad()
            (0.0 * model(x)).sum().backward()
            optimizer.step()
        scores = router_scores(x @ model.router.T, "softmax")
        counts = torch.bincount(scores.topk(2).indices.flatten(), minlength=8)
        spread[balance] = int(counts.max()) / int(counts.sum())
    assert spread["none"] > 0.3
    assert spread["loss"] < 0.2


def test_a_fixed_route_is_not_balanced():
    assert str(palmette.parse("pre(moe(route='hash'))")) == (
        "lm(pre(moe(route='hash', balance='none')))"
    )


def test_ids_reach_a_hash_route_through_a_whole_model():
    model = build_at(palmette.parse("stack(pre(conv()), pre(moe(route='hash')))"), PLACE, seed=0)
    ids = ids_of(63)
    wanted = model(ids)
    state, outputs = model.init_state(2), []
    for t in range(63):
        y, state = model.step(ids[:, t], state)
        outputs.append(y)
    torch.testing.assert_close(torch.stack(outputs, 1), wanted, rtol=1e-5, atol=1e-5)
