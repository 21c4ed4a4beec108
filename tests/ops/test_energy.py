import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import palmette
from palmette.errors import GenomeError
from palmette.model import build_at, cost
from palmette.ops._base import Place
from palmette.ops.energy import position_noise

CORE = "stack(pre(attn(positions='rope')), pre(glu()))"
PLACE = Place(width=48, depth=2, hidden=1.0, vocabulary=61, context=100)


def model_of(knobs="", place=PLACE):
    return build_at(palmette.parse(f"energy({CORE}, {knobs})"), place, seed=0)


def ids_of(length=63, rows=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(PLACE.vocabulary, (rows, length), generator=generator)


@pytest.mark.parametrize("start", ["zero", "noise"])
def test_without_gradients_outside_the_answer_is_the_same_and_carries_none(start):
    model = model_of(f"start='{start}'").eval()
    inside = model(ids_of())
    with torch.no_grad():
        outside = model(ids_of())
    assert inside.requires_grad
    assert not outside.requires_grad
    torch.testing.assert_close(inside.detach(), outside, rtol=1e-6, atol=1e-6)


def test_every_step_goes_down_the_energy():
    model = model_of("steps=3, rate=1/4")
    x = model.embedding(ids_of()) * PLACE.width**0.5

    def energy(y):
        e = y.softmax(-1) @ model.embedding.weight * PLACE.width**0.5
        return model.energy(model.norm(model.core(torch.cat((x, e), 1))[:, 63:])).mean().item()

    (segment,) = model.segments(ids_of())
    start = torch.zeros_like(segment.logits)
    energies = [energy(y) for y in (start, *segment.drafts, segment.logits)]
    assert energies == sorted(energies, reverse=True)
    assert energies[0] - energies[1] > 1e-4


@pytest.mark.parametrize(("detach", "crosses"), [(True, False), (False, True)])
def test_only_without_detach_a_draft_depends_on_the_step_before_it(detach, crosses):
    model = model_of(f"steps=2, detach={detach}")
    (segment,) = model.segments(ids_of())
    (first,) = segment.drafts
    (slope,) = torch.autograd.grad(segment.logits.square().sum(), first, allow_unused=True)
    assert (slope is not None) == crosses


def test_noise_depends_on_the_position_alone():
    assert torch.equal(position_noise(7, 61), position_noise(7, 61))
    assert not torch.equal(position_noise(7, 61), position_noise(8, 61))
    model = model_of("start='noise'").eval()
    with torch.no_grad():
        whole, part = model(ids_of()), model(ids_of()[:, :20])
    torch.testing.assert_close(whole[:, :20], part, rtol=1e-4, atol=1e-4)


def test_the_loss_is_the_mean_over_drafts():
    model = model_of("steps=3")
    (segment,) = model.segments(ids_of())
    assert len(segment.drafts) == 2
    assert segment.left == 0
    assert torch.equal(segment.logits, model(ids_of()))


def test_below_an_energy_stands_only_what_weighs_candidates():
    with pytest.raises(GenomeError, match="forks"):
        palmette.parse("energy(stack(pre(lin())))")
    with pytest.raises(GenomeError, match="causal"):
        palmette.parse("energy(stack(pre(attn(mask='none'))))")
    with pytest.raises(GenomeError, match=r"twice_differentiable|twice differentiable"):
        palmette.parse("energy(stack(pre(mlp(activation='relu'))))")


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_flops_are_those_that_torch_counts(steps):
    """Forward, and with the second derivative; the mask is not in torch's count."""
    genome = palmette.parse(f"energy(stack(pre(glu())), steps={steps})")
    model = build_at(genome, PLACE, seed=0)
    price = cost(genome, PLACE, 63)
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        model(ids_of(rows=1))
    assert price.flops_forward == pytest.approx(counter.get_total_flops() / 63, rel=0.15)
    counter = FlopCounterMode(display=False)
    with counter:
        (segment,) = model.segments(ids_of(rows=1))
        sum(logits.square().sum() for logits in (*segment.drafts, segment.logits)).backward()
    assert price.flops_train == pytest.approx(counter.get_total_flops() / 63, rel=0.25)
