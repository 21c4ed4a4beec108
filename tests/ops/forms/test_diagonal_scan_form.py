from fractions import Fraction

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.forms import adopt
from palmette.ops.forms.diagonal_scan import NativeDiagonalScan
from palmette.ops.kernels.native.library import unavailable
from palmette.ops.pre import Pre
from palmette.ops.scan import Scan

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

KNOBS = {
    "hgrn": Scan(),
    "hgrn-plain": Scan(conv=0, bias=True, activation="identity", out_gate="none"),
    "griffin": Scan(gates="rglru", skip=True, out_norm="rms", out_gate="gelu"),
    "mamba": Scan(gates="selective", expand=Fraction(2), bias=True, skip=True),
    "selective-4": Scan(gates="selective_4", conv=2, activation="identity", out_norm="rms"),
    "constant": Scan(gates="constant", out_gate="sigmoid", skip=True),
    "constant-4": Scan(gates="constant_4", expand=Fraction(4, 3)),
}


def pair(node, width=19, norm=None):
    """The module of a node in torch and natively, with the same weights."""
    torch.manual_seed(0)
    node = node if norm is None else Pre(op=node, norm=norm)
    place = Place(width=width, depth=1, hidden=1.0, vocabulary=8, context=64)
    modules = [instantiate(node.plan(place)) for _ in range(2)]
    for first, second in zip(*(module.parameters() for module in modules), strict=True):
        first.data += 0.1 * torch.randn_like(first)
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
    for name, y in wanted.items():
        assert (found[name] - y).norm() <= 1e-5 * y.norm() + 1e-6, name


@pytest.mark.parametrize("length", [1, 63])
@pytest.mark.parametrize("name", KNOBS)
def test_a_form_computes_what_its_module_does(name, length):
    module, form = pair(KNOBS[name])
    assert type(form) is NativeDiagonalScan
    x = torch.randn(3, length, 19)
    assert_near(slopes(form, x), slopes(module, x))


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_the_residual_step_is_the_same(norm):
    module, form = pair(KNOBS["mamba"], norm=norm)
    x = torch.randn(3, 33, 19)
    assert_near(slopes(form, x), slopes(module, x))


@pytest.mark.parametrize("name", KNOBS)
def test_decoding_gives_what_the_whole_does(name):
    _, form = pair(KNOBS[name])
    x = torch.randn(2, 12, 19)
    with torch.no_grad():
        whole, state = form(x), form.init_state(2)
        for i in range(12):
            y, state = form.step(x[:, i], state)
            torch.testing.assert_close(y, whole[:, i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["hgrn", "griffin", "mamba", "constant"])
def test_many_models_at_once(name):
    forms = [pair(KNOBS[name])[1] for _ in range(3)]
    for number, form in enumerate(forms):
        for parameter in form.parameters():
            parameter.data *= 1 + 0.1 * number
    stacked, _ = stack_module_state(forms)
    x = torch.randn(3, 2, 21, 19)
    out = vmap(lambda own, x: functional_call(forms[0], own, x))(stacked, x)
    out.square().sum().backward()
    for number, form in enumerate(forms):
        form(x[number]).square().sum().backward()
        for name, parameter in form.named_parameters():
            wanted = parameter.grad
            assert (stacked[name].grad[number] - wanted).norm() <= 1e-5 * wanted.norm(), name
