import pytest
import torch
from torch.func import vmap

from palmette.ops.kernels.native import cross_entropy as kernel
from palmette.ops.kernels.native.cross_entropy import cross_entropy
from palmette.ops.kernels.native.library import unavailable
from palmette.tasks import IGNORE
from palmette.train.segments import weighted_loss

from .beside import NARROWER, narrow

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")


def given(batch=3, length=20, size=37, spread=3.0):
    draw = torch.Generator().manual_seed(size)
    logits = spread * torch.randn(batch, length, size, generator=draw)
    targets = torch.randint(size, (batch, length), generator=draw)
    targets[torch.rand(batch, length, generator=draw) < 0.3] = IGNORE
    targets[0] = IGNORE
    weights = torch.rand(batch, generator=draw)
    weights[-1] = 0.0
    return logits, targets, weights


def loss_and_slopes(form, logits, targets, weights, dtype=torch.float32):
    logits, weights = (x.to(dtype).requires_grad_() for x in (logits, weights))
    loss = form(logits, targets, weights)
    return [loss, *torch.autograd.grad(3.0 * loss, [logits, weights])]


def assert_near(found, wanted):
    for x, y in zip(found, wanted, strict=True):
        assert x.isfinite().all()
        assert (x - y).norm() <= 1e-5 * y.norm()


@pytest.mark.parametrize("size", [1, 2, 15, 16, 37, 64, 272, 1000])
@pytest.mark.parametrize("length", [1, 63, 1024])
def test_it_is_torch_s(size, length):
    batch = given(3, length, size)
    wanted = loss_and_slopes(weighted_loss, *batch, torch.float64)
    assert_near(loss_and_slopes(cross_entropy, *batch), wanted)


@pytest.mark.parametrize("narrower", NARROWER)
def test_every_set_of_instructions(narrower, monkeypatch):
    narrow(monkeypatch, kernel, narrower)
    wanted = loss_and_slopes(weighted_loss, *given(), torch.float64)
    assert_near(loss_and_slopes(cross_entropy, *given()), wanted)


@pytest.mark.parametrize("spread", [1e3, 1e6, 1e30])
def test_logits_far_apart(spread):
    wanted = loss_and_slopes(weighted_loss, *given(spread=spread), torch.float64)
    assert_near(loss_and_slopes(cross_entropy, *given(spread=spread)), wanted)


def test_tensors_that_are_not_in_one_piece():
    logits, targets, weights = given()
    wanted = loss_and_slopes(cross_entropy, logits, targets, weights)
    wider = torch.full((3, 20, 50), torch.nan)
    wider[..., 5:42] = logits
    turned = logits.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    for place in (wider[..., 5:42], turned):
        found = loss_and_slopes(cross_entropy, place, targets.mT.contiguous().mT, weights)
        assert all(torch.equal(x, y) for x, y in zip(found, wanted, strict=True))


def test_threads_do_not_change_a_bit():
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(loss_and_slopes(cross_entropy, *given(7, 63, 272)))
    torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))


@pytest.mark.parametrize("shared", [False, True])
def test_many_models_at_once(shared):
    logits, targets, weights = (x.unflatten(0, (3, 2)) for x in given(6))
    if shared:
        targets, weights = targets[1], weights[1]
    leaves = logits.clone().requires_grad_()
    where = (0, None, None) if shared else (0, 0, 0)
    losses = vmap(cross_entropy, where)(leaves, targets, weights)
    assert torch.equal(losses, cross_entropy(logits, targets, weights))
    losses.sum().backward()
    for number in range(3):
        own = logits[number].clone().requires_grad_()
        beside = (x if shared else x[number] for x in (targets, weights))
        alone = cross_entropy(own, *beside)
        alone.backward()
        assert torch.equal(losses[number], alone)
        assert torch.equal(leaves.grad[number], own.grad)


def test_it_is_an_operator_as_torch_wants_it():
    logits, targets, weights = given()
    torch.library.opcheck(
        kernel.forward_operator, (logits.requires_grad_(), targets, weights.requires_grad_())
    )


def test_what_does_not_belong_together_is_refused():
    logits, targets, weights = given()
    with pytest.raises(ValueError, match="target 37 is no place of a row of 37 logits"):
        cross_entropy(logits, targets.clamp(min=37), weights)
    with pytest.raises(ValueError, match=r"not \[3, 20, 37\], \[3, 19\], \[3\]"):
        cross_entropy(logits, targets[:, 1:], weights)
    with pytest.raises(ValueError, match="native kernels are for fp32"):
        cross_entropy(logits.double(), targets, weights)
