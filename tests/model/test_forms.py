"""The native form of every model of the atlas beside its torch form, values and gradients."""

import pytest
import torch
from torch import nn

from palmette.model import atlas, build
from palmette.ops.forms import adopt, forms
from palmette.ops.kernels.native.library import unavailable

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=f"no native kernels: {unavailable()}")

SIZE, VOCABULARY = 42_000, 80


def trained_once(model, ids):
    """The logits and all gradients of a loss that weighs every logit."""
    logits = model(ids)
    slope = torch.linspace(-1.0, 1.0, logits.numel(), dtype=logits.dtype).view_as(logits)
    (torch.log_softmax(logits, -1) * slope).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.detach(), **gradients}


def error(given, exact):
    """The largest distance from the exact values, as a share of their norm, over all tensors.

    A tensor that is next to nothing beside the others (a key's gradient where one token is all that
    there is to attend to) is a difference of large numbers: it is held to a thousandth of the
    largest.
    """
    assert given.keys() == exact.keys()
    least = 1e-3 * max(value.norm().item() for value in exact.values())
    return max(
        (given[name].double() - value).norm().item() / max(value.norm().item(), least)
        for name, value in exact.items()
    )


@pytest.mark.parametrize("length", [1, 63])
@pytest.mark.parametrize("name", atlas.names())
def test_a_native_model_is_the_torch_model(name, length):
    genome = atlas.load(name)
    torch.manual_seed(length)
    ids = torch.randint(VOCABULARY, (3, length))
    native = build(genome, SIZE, VOCABULARY, context=64, seed=7, kernel="native")
    plain = build(genome, SIZE, VOCABULARY, context=64, seed=7)
    exact = build(genome, SIZE, VOCABULARY, context=64, seed=7).double()
    reference = trained_once(exact, ids)
    of_torch = error(trained_once(plain, ids), reference)
    of_native = error(trained_once(native, ids), reference)
    assert of_native <= 2e-5 + 4 * of_torch


@pytest.mark.parametrize("name", atlas.names())
def test_a_native_model_has_the_parameters_of_the_torch_model(name):
    genome = atlas.load(name)
    native = build(genome, SIZE, VOCABULARY, seed=7, kernel="native")
    plain = build(genome, SIZE, VOCABULARY, seed=7)
    assert native.state_dict().keys() == plain.state_dict().keys()
    plain.load_state_dict(native.state_dict())
    spared = {name for name, p in plain.named_parameters() if getattr(p, "no_decay", False)}
    assert spared == {n for n, p in native.named_parameters() if getattr(p, "no_decay", False)}


def test_below_what_differentiates_its_parts_all_stays_torch():
    class Around(nn.Module):
        def __init__(self, second_order):
            super().__init__()
            self.second_order = second_order
            self.inner = build("stack(pre(glu()))", SIZE, VOCABULARY)

    def native(model):
        return [m for m in model.modules() if isinstance(m, tuple(forms))]

    assert native(adopt(Around(False)))
    assert not native(adopt(Around(True)))


def test_an_unknown_kernel_is_refused():
    with pytest.raises(AssertionError, match="kernel is one of"):
        build("stack(pre(glu()))", SIZE, VOCABULARY, kernel="fortran")
