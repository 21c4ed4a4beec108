"""Energy-based transformers against one prefix at a time (arXiv 2507.02092, section 3.3).

The paper trains all positions at once, candidates beside the real tokens. That is worth the same as
running, for every position, the tokens up to it and then one candidate through an ordinary causal
transformer, and reading the energy off the last place: which is what is done here, with the very
same weights, values and gradients (which are second derivatives) compared.
"""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from palmette.model.build import build_at, instantiate
from palmette.model.parse import parse
from palmette.ops._base import Place
from palmette.ops.energy import position_noise
from tests.parity.oracles import assert_parity

PLACE = Place(width=24, depth=2, hidden=1.0, vocabulary=31, context=101)
CORE = "stack(pre(attn(positions='rope')), pre(glu()))"


def one_prefix_at_a_time(model, core, ids, *, steps, detach, noise):
    """The drafts after each step [b t vocabulary], by the equations."""
    rows, length = ids.shape
    table = model.embedding.weight
    scale = PLACE.width**0.5
    drafts = [[] for _ in range(steps)]
    for i in range(length):
        y = position_noise(i, PLACE.vocabulary) if noise else torch.zeros(PLACE.vocabulary)
        y = y.double().expand(rows, -1).requires_grad_()
        for step in range(steps):
            y = y.detach().requires_grad_() if detach else y
            candidate = y.softmax(-1) @ table * scale
            both = torch.cat((table[ids[:, : i + 1]] * scale, candidate[:, None]), 1)
            out = core(both)[:, -1]
            out = out / (out.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * model.norm.weight
            energy = out @ model.energy.weight[0]
            (slope,) = torch.autograd.grad(energy.sum(), y, create_graph=True)
            y = y - model.log_step_size.exp() * slope
            drafts[step].append(y)
    return [torch.stack(draft, 1) for draft in drafts]


@pytest.mark.parametrize(
    ("steps", "detach", "noise", "length"),
    [(2, True, False, 63), (2, True, False, 100), (3, False, True, 63), (1, True, True, 100)],
    ids=["the atlas' at 63", "the atlas' at 100", "three, all differentiated", "one, from noise"],
)
def test_all_positions_at_once_equal_one_prefix_at_a_time(steps, detach, noise, length):
    start = "noise" if noise else "zero"
    genome = parse(f"energy({CORE}, steps={steps}, detach={detach}, start='{start}')")
    torch.manual_seed(0)
    # In single precision all agrees within 1e-5 but the slope of the one step size, which is a sum
    # over all positions that nearly cancels: 3e-5. In double there is no need for that allowance.
    model = build_at(genome, PLACE, seed=0).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    (trunk,) = genome.root.nodes()
    core = instantiate(trunk.plan(replace(PLACE, candidates=False))).double()
    named = dict(model.core.named_parameters())
    for name, parameter in core.named_parameters():  # the same tensors, under the same names
        owner, _, own = name.rpartition(".")
        assert parameter.shape == named[name].shape
        setattr(core.get_submodule(owner), own, named[name])
    ids = torch.randint(PLACE.vocabulary, (1, length))
    weights = dict(model.named_parameters())
    (segment,) = model.segments(ids)
    with sdpa_kernel(SDPBackend.MATH):  # the fused kernel has no second derivative on a CPU
        options = {"steps": steps, "detach": detach, "noise": noise}
        wanted = one_prefix_at_a_time(model, core, ids, **options)
        for draft, by_hand in zip((*segment.drafts, segment.logits), wanted, strict=True):
            assert_parity(draft, by_hand, weights, 1e-10)
