from fractions import Fraction

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.attn import Attn, SelfAttention
from palmette.ops.forms import adopt
from palmette.ops.forms.attention import NativeSelfAttention
from palmette.ops.kernels.native.library import unavailable
from palmette.ops.pre import Pre

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

KNOBS = {
    "plain": Attn(),
    "rope": Attn(positions="rope"),
    "alibi": Attn(positions="alibi", heads=2, window=16),
    "relative": Attn(positions="relative", kv_heads=Fraction(1, 4)),
    "rms": Attn(positions="rope", qk_norm="rms", kv_heads=Fraction(1, 2)),
    "l2": Attn(positions="rope", qk_norm="l2", sink=True),
    "gpt2": Attn(bias=True, gate="head"),
    "forget": Attn(forget=True, gate="element", bias=True),
    "both-ways": Attn(mask="none", window=16, positions="relative", heads=1),
}


def pair(node, width=37, norm=None):
    """The module of a node in torch and natively, with the same weights, none at its start."""
    torch.manual_seed(0)
    node = node if norm is None else Pre(op=node, norm=norm)
    place = Place(width=width, depth=1, hidden=1.0, vocabulary=8, context=64)
    modules = [instantiate(node.plan(place)) for _ in range(2)]
    for first, second in zip(*(module.parameters() for module in modules), strict=True):
        first.data += 0.3 * torch.randn_like(first)
        second.data.copy_(first)
    return modules[0], adopt(modules[1])


def slopes(module, x):
    x = x.clone().requires_grad_()
    out = module(x)
    weight = torch.linspace(-1, 1, out.numel()).view_as(out)
    found = torch.autograd.grad((weight * out).sum(), [x, *module.parameters()])
    names = ["out", "x", *(name for name, _ in module.named_parameters())]
    return dict(zip(names, [out, *found], strict=True))


def assert_near(found, wanted):
    assert list(found) == list(wanted)
    for name, y in wanted.items():  # a single key leaves nothing to choose: zero, but for rounding
        assert (found[name] - y).norm() <= 1e-5 * (y.norm() + wanted["x"].norm()), name


@pytest.mark.parametrize("length", [1, 63])
@pytest.mark.parametrize("name", KNOBS)
def test_a_form_computes_what_its_module_does(name, length):
    module, form = pair(KNOBS[name])
    assert type(form) is NativeSelfAttention
    x = torch.randn(3, length, 37)
    assert_near(slopes(form, x), slopes(module, x))


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_the_residual_step_is_the_same(norm):
    module, form = pair(KNOBS["rms"], norm=norm)
    x = torch.randn(3, 33, 37)
    assert_near(slopes(form, x), slopes(module, x))


@pytest.mark.parametrize("name", ["rope", "alibi", "relative", "l2", "forget"])
def test_decoding_gives_what_the_whole_does(name):
    _, form = pair(KNOBS[name])
    x = torch.randn(2, 18, 37)
    with torch.no_grad():
        whole, state = form(x), form.init_state(2)
        for i in range(18):
            before = state
            y, state = form.step(x[:, i], state)
            again, _ = form.step(x[:, i], before)
            assert torch.equal(y, again)
            with torch.enable_grad():
                in_torch, parts = form.step(x[:, i], before)
            torch.testing.assert_close(y, in_torch, rtol=1e-4, atol=1e-5)
            for own, other in zip(state[:2], parts[:2], strict=True):
                torch.testing.assert_close(own, other, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(y, whole[:, i], rtol=1e-4, atol=1e-5)


def test_many_models_at_once():
    forms = [pair(KNOBS["rms"])[1] for _ in range(3)]
    for number, form in enumerate(forms):
        for parameter in form.parameters():
            parameter.data *= 1 + 0.2 * number
    stacked, _ = stack_module_state(forms)
    x = torch.randn(3, 2, 21, 37)
    out = vmap(lambda own, x: functional_call(forms[0], own, x))(stacked, x)
    out.square().sum().backward()
    for number, form in enumerate(forms):
        form(x[number]).square().sum().backward()
        for name, parameter in form.named_parameters():
            wanted = parameter.grad
            assert (stacked[name].grad[number] - wanted).norm() <= 1e-5 * wanted.norm(), name


def test_modules_with_candidates_or_of_other_types_stay_as_they_are():
    place = Place(width=16, depth=1, hidden=1.0, vocabulary=8, context=64, candidates=True)
    assert type(adopt(instantiate(Attn().plan(place)))) is SelfAttention
    place = Place(width=16, depth=1, hidden=1.0, vocabulary=8, context=64)
    assert type(adopt(instantiate(Attn().plan(place)).double())) is SelfAttention
