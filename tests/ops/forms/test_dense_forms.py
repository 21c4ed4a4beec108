import copy

import pytest
import torch
from torch import nn

from palmette.ops._norm import RmsNorm
from palmette.ops.forms import adopt
from palmette.ops.forms.glu import NativeGlu
from palmette.ops.forms.linear import NativeLinear
from palmette.ops.forms.mlp import NativeMlp
from palmette.ops.forms.pre_norm import NativePreNorm
from palmette.ops.forms.rms_norm import NativeRmsNorm
from palmette.ops.glu import GatedFeedForward
from palmette.ops.kernels.native.library import unavailable
from palmette.ops.mlp import FeedForward
from palmette.ops.pre import PreNorm

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

D = 18


def glu(activation="silu"):
    return GatedFeedForward(width=D, hidden=41, activation=activation)


def mlp(activation="gelu", bias=True):
    return FeedForward(width=D, hidden=41, activation=activation, bias=bias)


class Doubled(nn.Module):
    """An operator that no form stands for."""

    def forward(self, x):
        return 2.0 * x


MODULES = {
    "linear": lambda: nn.Linear(D, 7),
    "linear-without-bias": lambda: nn.Linear(D, 7, bias=False),
    "rms": lambda: RmsNorm(width=D),
    "swiglu": glu,
    "geglu": lambda: glu("gelu"),
    "sigmoid-glu": lambda: glu("sigmoid"),
    "mlp": mlp,
    "relu2-mlp": lambda: mlp("relu2", bias=False),
    "pre-glu": lambda: PreNorm(width=D, norm="rms", op=glu()),
    "pre-glu-layer": lambda: PreNorm(width=D, norm="layer", op=glu()),
    "pre-mlp": lambda: PreNorm(width=D, norm="rms", op=mlp()),
    "pre-mlp-layer": lambda: PreNorm(width=D, norm="layer", op=mlp("silu")),
    "pre-linear": lambda: PreNorm(width=D, norm="rms", op=nn.Linear(D, D)),
    "pre-doubled": lambda: PreNorm(width=D, norm="rms", op=Doubled()),
}


def made(name):
    """A module with no parameter at zero or one, and its native form."""
    torch.manual_seed(3)
    module = MODULES[name]()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module, adopt(copy.deepcopy(module))


def trained_once(module, x):
    x = x.clone().requires_grad_()
    y = module(x)
    y.square().sum().backward()
    return [y.detach(), x.grad, *(p.grad for p in module.parameters())]


@pytest.mark.parametrize("name", MODULES)
def test_a_form_is_its_module(name):
    module, native = made(name)
    assert type(native) is not type(module)
    for length in (1, 63):
        x = torch.randn(2, length, D)
        module.zero_grad()
        native.zero_grad()
        exact = trained_once(copy.deepcopy(module).double(), x.double())
        for found, wanted in zip(trained_once(native, x), exact, strict=True):
            assert (found - wanted).norm() <= 1e-5 * wanted.norm() + 1e-6


@pytest.mark.parametrize("name", MODULES)
def test_a_form_has_the_parameters_of_its_module(name):
    module, native = made(name)
    names = [name for name, _ in module.named_parameters()]
    assert [name for name, _ in native.named_parameters()] == names
    assert vars(native).keys() == vars(module).keys()


def test_every_part_gets_its_form():
    pre = adopt(PreNorm(width=D, norm="rms", op=glu()))
    assert [type(part) for part in pre.modules()] == [
        NativePreNorm,
        NativeRmsNorm,
        NativeGlu,
        *[NativeLinear] * 3,
    ]
    assert type(adopt(mlp())) is NativeMlp
    assert type(adopt(nn.Linear(3, 4).double())) is nn.Linear


@pytest.mark.parametrize("name", ["swiglu", "mlp", "pre-glu", "sigmoid-glu", "pre-mlp-layer"])
def test_decoding_is_the_forward_pass(name):
    _, native = made(name)
    x = torch.randn(2, 5, D)
    with torch.no_grad():
        state, tokens = native.init_state(2), []
        for token in x.unbind(1):
            y, state = native.step(token, state)
            tokens.append(y)
        torch.testing.assert_close(torch.stack(tokens, 1), native(x))


@pytest.mark.parametrize("name", ["linear", "rms", "swiglu", "mlp", "pre-glu", "pre-mlp-layer"])
def test_many_models_at_once(name):
    modules = []
    for seed in range(3):
        torch.manual_seed(seed)
        modules.append(adopt(MODULES[name]()))
    parameters, buffers = torch.func.stack_module_state(modules)
    x = torch.randn(3, 2, 9, D)

    def run(parameters, buffers, x):
        return torch.func.functional_call(modules[0], (parameters, buffers), (x,))

    together = torch.vmap(run)(parameters, buffers, x)
    alone = torch.stack([module(x[s]) for s, module in enumerate(modules)])
    assert torch.equal(together, alone)
    together.square().sum().backward()
    alone.square().sum().backward()
    for key, parameter in parameters.items():
        each = torch.stack([dict(module.named_parameters())[key].grad for module in modules])
        torch.testing.assert_close(parameter.grad, each, rtol=1e-5, atol=1e-5)
