import math

import pytest
import torch

import palmette


@pytest.mark.parametrize(
    ("knobs", "names"),
    [
        ("", {"embedding.weight", "norm.weight"}),
        ("tie=False", {"embedding.weight", "head.weight", "norm.weight"}),
        ("positions='learned'", {"embedding.weight", "positions.weight", "norm.weight"}),
        ("norm='layer'", {"embedding.weight", "norm.weight", "norm.bias"}),
    ],
)
def test_parameters_outside_the_trunk(knobs, names):
    model = palmette.build(f"lm(pre(mlp()), {knobs})", params=20_000, seed=0)
    assert {n for n, _ in model.named_parameters() if not n.startswith("core.")} == names


@pytest.mark.parametrize(("tie", "above"), [(True, 1.0), (False, 0.1)], ids=["tied", "untied"])
def test_a_fresh_model_knows_nothing(tie, above):
    model = palmette.build(f"lm(stack(pre(lin()), pre(glu())), tie={tie})", params=42_000, seed=0)
    ids = torch.randint(256, (4, 63), generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert -0.1 < float(loss.detach()) - math.log(256) < above


def test_the_trunk_reads_tokens_at_unit_scale():
    model = palmette.build("pre(mlp())", params=42_000, seed=0)
    seen = []
    model.core.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    model(torch.arange(256)[None])
    assert abs(float(seen[0].detach().std()) - 1) < 0.05


def test_learned_positions_refuse_what_is_longer_than_the_context():
    model = palmette.build("lm(pre(mlp()), positions='learned')", params=20_000, context=63)
    assert model(torch.zeros(1, 63, dtype=torch.long)).shape == (1, 63, 256)
    with pytest.raises(ValueError, match="learned positions for 63 tokens but got 64; shorten"):
        model(torch.zeros(1, 64, dtype=torch.long))
