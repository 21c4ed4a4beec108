"""FLOPs in closed form against torch's own counter, which sees matrix products alone."""

from collections import Counter

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from palmette.model import atlas, build_at, cost
from palmette.ops._base import Place

LENGTH = 63
PLACE = Place(width=48, depth=2, hidden=1.0, vocabulary=256, context=LENGTH)


def counted(name):
    """FLOPs a token of all weights, and of products between tokens, seen or not."""
    model = build_at(atlas.load(name), PLACE, seed=0).eval()
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad(), sdpa_kernel(SDPBackend.MATH):  # it does not see the fused form
        model(torch.zeros(1, LENGTH, dtype=torch.long))
    by_name = Counter()
    for operator, flops in counter.get_flop_counts()["Global"].items():
        by_name[str(operator).removeprefix("aten.")] += flops / LENGTH
    return by_name["mm"] + by_name["addmm"] + by_name["convolution"], by_name["bmm"]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_attention_pays_for_the_pairs_under_the_mask(name):
    weights, all_pairs = counted(name)
    assert all_pairs > 0.05 * weights
    under_the_mask = all_pairs * (LENGTH + 1) / (2 * LENGTH)
    given = cost(atlas.load(name), PLACE, LENGTH).flops_forward
    assert given == pytest.approx(weights + under_the_mask, rel=0.03)  # norms, turns and gates


@pytest.mark.parametrize(
    "name", ["linear_attention", "retnet", "gla", "mamba2", "deltanet", "gated_deltanet"]
)
def test_recurrences_pay_for_their_weights_and_a_few_passes_over_the_state(name):
    weights, _ = counted(name)
    given = cost(atlas.load(name), PLACE, LENGTH)
    state = given.state_bytes / 4
    assert weights + 2 * 2 * state * 0.7 < given.flops_forward < (weights + 2 * 4 * state) * 1.03
