import copy
import random
from typing import ClassVar

import pytest
import torch

from palmette.grammar.node import fields_of
from palmette.grammar.types import Knob
from palmette.model import atlas
from palmette.ops._base import Place
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.forms import adopt
from palmette.ops.forms._lin_knobs import knobs_of, parameters_of
from palmette.ops.forms.linear_recurrence import NativeLinearRecurrence
from palmette.ops.kernels.native import convolution, lin_pass
from palmette.ops.kernels.native.library import Build, library, unavailable
from palmette.ops.kernels.native.lin import forward_operator, mix
from palmette.ops.lin import Lin

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=f"no native kernels: {unavailable()}")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


CHOICES = {name: spec.choices for name, spec in fields_of(Lin).items() if isinstance(spec, Knob)}
ALONE = list(dict.fromkeys(Lin(**{name: v}) for name, values in CHOICES.items() for v in values))
DRAW = random.Random(5)
COMBINED = [Lin(**{name: DRAW.choice(v) for name, v in CHOICES.items()}) for _ in range(60)]


def nodes(node):
    """A node and all below it."""
    yield node
    for name in getattr(node, "__dataclass_fields__", {}):
        below = getattr(node, name)
        for one in below if isinstance(below, tuple) else (below,):
            if hasattr(one, "__dataclass_fields__"):
                yield from nodes(one)


ROWS = {
    name: lin
    for name in atlas.names()
    for lin in nodes(atlas.load(name).root)
    if isinstance(lin, Lin)
}


def build(lin, width):
    """The torch form with parameters that are not as they begin, so that each has an effect."""
    planned = lin.plan(Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=128))
    module = planned.cls(**dict(planned.arguments))
    for parameter in module.parameters():
        if parameter.ndim == 1 or parameter.shape[0] == lin.heads:
            parameter.data += 0.3 * torch.randn_like(parameter)
    return module


def natively(module):
    native = adopt(copy.deepcopy(module))
    assert type(native) is NativeLinearRecurrence
    return native


def trained_once(module, x, slope):
    """The output and all gradients."""
    x = x.to(module.out.weight.dtype, copy=True).requires_grad_()
    y = module(x)
    y.backward(slope.to(y.dtype))
    return {"y": y.detach(), "x": x.grad} | {n: p.grad for n, p in module.named_parameters()}


def assert_alike(lin, width, length, batch=2):
    """The native form errs by 1e-5, or where rounding weighs more, by a few times torch's error.

    What is nearly 0 is measured by a thousandth of the largest gradient: where a norm follows, a
    factor before it has a gradient that is rounding alone.
    """
    torch.manual_seed(width + length)
    module = build(lin, width)
    x, slope = torch.randn(batch, length, width), torch.randn(batch, length, width)
    exact = trained_once(copy.deepcopy(module).double(), x, slope)
    native = trained_once(natively(module), x, slope)
    plain = trained_once(module, x, slope)
    assert native.keys() == exact.keys()
    least = 1e-3 * max(value.norm() for value in exact.values())
    for name, value in exact.items():
        of_native, of_torch = (
            (given[name] - value).norm() / value.norm().clamp(min=least)
            for given in (native, plain)
        )
        assert of_native <= 1e-5 + 4 * of_torch, (name, of_native, of_torch, lin)


@pytest.mark.parametrize("length", [1, 63, 100])
@pytest.mark.parametrize("name", ROWS)
def test_the_atlas_is_the_same_in_torch(name, length):
    assert_alike(ROWS[name], 48, length)


def test_each_knob_is_the_same_in_torch():
    for lin in ALONE:
        assert_alike(lin, 18, 21, batch=1)


@pytest.mark.parametrize("number", range(6))
def test_combined_knobs_are_the_same_in_torch(number):
    draw = random.Random(number)
    for lin in COMBINED[number::6]:
        assert_alike(lin, draw.choice([33, 48, 64]), draw.choice([1, 63, 100]))


@pytest.mark.parametrize("name", ["deltanet", "mamba2", "kda"])
def test_many_sequences_are_worked_on_in_groups(name):
    assert_alike(ROWS[name], 33, 100, batch=12)


@pytest.mark.parametrize("instructions", ["avx2", "portable"])
def test_other_instructions_compute_the_same(instructions, monkeypatch):
    if instructions == "avx2" and "avx" not in str(Build("probe").flags()):
        pytest.skip("this processor has no AVX2")
    for part in (lin_pass, convolution):
        monkeypatch.setattr(part, "library", lambda name: library(name, instructions=instructions))
    for lin in [*ROWS.values(), *COMBINED[:5]]:
        assert_alike(lin, 33, 20, batch=1)


def test_extreme_inputs_stay_finite():
    for lin in list(ROWS.values()) + COMBINED[:10]:
        torch.manual_seed(0)
        module = natively(build(lin, 33))
        x = 300.0 * torch.randn(2, 40, 33)
        for name, value in trained_once(module, x, torch.ones(2, 40, 33)).items():
            assert value.isfinite().all(), (name, lin)


def test_steps_equal_the_whole_and_leave_the_state_alone():
    for lin in list(ROWS.values()) + COMBINED[:20]:
        torch.manual_seed(1)
        module = natively(build(lin, 33))
        x = torch.randn(2, 20, 33)
        with torch.no_grad():
            whole, state, outputs = module(x), module.init_state(2), []
            for t in range(20):
                before = copy.deepcopy(state)
                y, after = module.step(x[:, t], state)
                for old, kept in zip(state, before, strict=True):
                    assert old == kept if isinstance(old, int | tuple) else torch.equal(old, kept)
                state = after
                outputs.append(y)
        error = (torch.stack(outputs, 1) - whole).norm() / whole.norm()
        assert error < 2e-5, lin


def test_a_step_that_is_differentiated_is_torchs():
    module = natively(build(ROWS["gated_deltanet"], 12))
    y, _ = module.step(torch.randn(2, 12), module.init_state(2))
    y.sum().backward()
    assert module.project.weight.grad.any()


@pytest.mark.parametrize("batch", [2, 6])
def test_stacked_models_are_each_by_itself(batch):
    for lin in [*ROWS.values(), *COMBINED[:8]]:
        torch.manual_seed(2)
        models = [natively(build(lin, 24)) for _ in range(3)]
        parameters, buffers = torch.func.stack_module_state(models)
        x = torch.randn(3, batch, 100, 24)

        def run(parameters, buffers, x, model=models[0]):
            return torch.func.functional_call(model, (parameters, buffers), (x,))

        y = torch.func.vmap(run)(parameters, buffers, x)
        y.square().sum().backward()
        for i, model in enumerate(models):
            alone = model(x[i])
            alone.square().sum().backward()
            torch.testing.assert_close(y[i], alone, atol=2e-5, rtol=1e-4)
            for name, parameter in model.named_parameters():
                error = (parameters[name].grad[i] - parameter.grad).norm()
                assert error <= 1e-5 * parameter.grad.norm() + 1e-6, (name, lin)


def test_the_bits_do_not_depend_on_the_threads():
    before = torch.get_num_threads()
    try:
        for lin in [*ROWS.values(), *COMBINED[:6]]:
            torch.manual_seed(3)
            module, x, slope = build(lin, 33), torch.randn(5, 130, 33), torch.randn(5, 130, 33)
            results = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                results.append(trained_once(natively(module), x, slope))
            for other in results[1:]:
                assert all(torch.equal(results[0][name], other[name]) for name in other), lin
    finally:
        torch.set_num_threads(before)


def test_other_precisions_stay_torch():
    assert type(adopt(build(Lin(), 12).double())) is LinearRecurrence


def test_a_layer_is_one_operator_between_two_products():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counted(TorchDispatchMode):
        names: ClassVar[list[str]] = []

        def __torch_dispatch__(self, operator, types, given=(), named=None):
            self.names.append(operator.name())
            return operator(*given, **(named or {}))

    module = natively(build(ROWS["gated_deltanet"], 24))
    with Counted() as counted, torch.no_grad():
        module(torch.randn(2, 30, 24))
    ours = [name for name in counted.names if name.startswith("palmette::")]
    assert ours == ["palmette::linear", "palmette::lin", "palmette::linear"]


@pytest.mark.parametrize("name", ["gated_deltanet", "rwkv6_core"])
def test_the_operator_is_one_of_torch(name):
    module = natively(build(ROWS[name], 12))
    projected = torch.randn(2, 9, module.project.out_features, requires_grad=True)
    given = (projected, *parameters_of(module), knobs_of(module), True)
    torch.library.opcheck(forward_operator, given)


def test_a_projection_of_another_layer_is_refused():
    module = natively(build(ROWS["deltanet"], 12))
    with pytest.raises(ValueError, match=r"a projection is \[2, 9, 7\]; wanted \[b t 40\]"):
        mix(torch.zeros(2, 9, 7), parameters_of(module), knobs_of(module))
