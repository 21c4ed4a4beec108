import pytest
import torch

import palmette
from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops._head import HIDDEN, PairHead, pair_head_cost
from palmette.ops.lm import Lm
from palmette.ops.mlp import Mlp
from palmette.ops.pre import Pre

PLACE = Place(width=14, depth=1, hidden=1.0, vocabulary=37, context=64)
CORE = Pre(op=Mlp())


@pytest.mark.parametrize("product", [False, True], ids=["mlp", "neumf"])
def test_a_logit_is_the_network_s_score_of_the_pair_side_by_side(product):
    torch.manual_seed(0)
    head = PairHead(width=6, vocabulary=11, hidden=5, product=product)
    with torch.no_grad():
        head.weight.normal_()
        if product:
            head.scale.normal_()
    x = torch.randn(2, 3, 6)
    first = torch.cat([head.of_features.weight, head.of_tokens.weight], 1)
    wanted = torch.zeros(2, 3, 11)
    for row in range(2):
        for t in range(3):
            for token in range(11):
                pair = torch.cat([x[row, t], 6**0.5 * head.weight[token]])
                units = first @ pair + head.of_features.bias
                score = head.readout.weight[0] @ (units * torch.sigmoid(units))
                if product:
                    score = score + head.scale @ (x[row, t] * head.weight[token])
                wanted[row, t, token] = score.detach()
    torch.testing.assert_close(head(x), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tie", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("head", ["mlp", "neumf"])
def test_parameters_are_those_of_the_dot_product_and_the_network_s(head, tie):
    node = Lm(core=CORE, head=head, tie=tie)
    model = instantiate(node.plan(PLACE))
    plain = Lm(core=CORE, tie=tie).cost(PLACE, 63)
    cost = node.cost(PLACE, 63)
    more = HIDDEN * (2 * 14 + 2) + 14 * (head == "neumf")
    assert cost.parameters == plain.parameters + more
    assert cost.parameters == sum(p.numel() for p in model.parameters())
    assert (model.head.weight is model.embedding.weight) is tie


def test_work_is_a_layer_on_features_and_table_and_a_unit_for_each_pair():
    dot = 37 * 14
    table_layer = dot * HIDDEN / 63
    by_hand = 14 * HIDDEN + table_layer + 37 * HIDDEN - dot
    assert pair_head_cost(14, 37, 63, product=False).flops_forward == 2 * by_hand
    more = pair_head_cost(14, 37, 63, product=True).flops_forward - 2 * by_hand
    assert more == 2 * (dot + 14)


def test_the_usual_head_is_the_dot_product_under_its_old_names():
    model = palmette.build("pre(mlp())", params=20_000, vocab_size=37, seed=0)
    assert isinstance(model.head, torch.nn.Linear)
    assert str(palmette.parse("lm(pre(mlp()), head='dot')")) == "lm(pre(mlp()))"
    x = torch.randn(2, 5, model.embedding.embedding_dim)
    torch.testing.assert_close(model.answer(x), model.norm(x) @ model.embedding.weight.T)


@pytest.mark.parametrize("head", ["mlp", "neumf"])
def test_a_model_learns_with_it(head):
    """The next id of a fixed permutation: what a dot product would learn too."""
    model = palmette.build(f"lm(pre(mlp()), head='{head}')", params=5_000, vocab_size=37, seed=0)
    after = torch.randperm(37, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(37).unsqueeze(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(80):
        loss = torch.nn.functional.cross_entropy(model(ids)[0], after)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.7  # chance is 3.6
