import pytest
import torch
import torch.nn.functional as F
from torch.library import opcheck

from palmette.ops._activation import activate
from palmette.ops.kernels.native import gated as kernel
from palmette.ops.kernels.native.gated import ACTIVATIONS, gated, gated_forward
from palmette.ops.kernels.native.library import unavailable
from palmette.ops.kernels.native.linear import LAYER_NORM, NO_NORM, RMS_NORM

from .beside import NARROWER, assert_beside, found, narrow

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

EPSILON = 1e-5
SIZES = (1, 3, 16, 17, 33, 48, 64, 100, 257)
NORMS = {"plain": NO_NORM, "rms": RMS_NORM, "layer": LAYER_NORM}
FORMS = {
    "swiglu": ("silu", True, False),
    "geglu": ("gelu", True, False),
    "first-glu": ("sigmoid", True, True),
    "mlp": ("gelu", False, False),
    "silu-mlp": ("silu", False, True),
    "relu-mlp": ("relu", False, True),
    "relu2-mlp": ("relu2", False, True),
}


def given(rows, d, hidden, norm, form):
    _, product, bias = FORMS[form]
    draw = torch.Generator().manual_seed(rows + 7 * d + 31 * hidden)

    def normal(*shape):
        return torch.randn(shape, generator=draw)

    return [
        normal(rows, d),
        normal(hidden, d) / d**0.5,
        normal(hidden, d) / d**0.5 if product else None,
        normal(d, hidden) / hidden**0.5,
        normal(hidden) if bias else None,
        normal(d) if bias else None,
        normal(d) if norm else None,
        normal(d) if norm == LAYER_NORM else None,
    ]


def native(norm, form, residual=False):
    def mixer(x, gate, up, down, gate_bias, down_bias, scale, shift):
        return gated(
            x,
            gate,
            up,
            down,
            FORMS[form][0],
            gate_bias=gate_bias,
            down_bias=down_bias,
            scale=scale,
            shift=shift,
            norm=norm,
            epsilon=EPSILON,
            residual=residual,
        )

    return mixer


def equation(norm, form, residual=False):
    def mixer(x, gate, up, down, gate_bias, down_bias, scale, shift):
        n = x
        if norm == RMS_NORM:
            n = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * scale
        if norm == LAYER_NORM:
            n = F.layer_norm(x, x.shape[-1:], scale, shift, EPSILON)
        h = activate(F.linear(n, gate, gate_bias), FORMS[form][0])
        y = F.linear(h if up is None else h * F.linear(n, up), down, down_bias)
        return x + y if residual else y

    return mixer


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("form", FORMS)
def test_it_is_the_equation(form, norm):
    kind = NORMS[norm]
    for number, d in enumerate(SIZES):
        if d == 1 and norm != "plain":
            continue  # a norm of one feature has no slope but rounding
        hidden = SIZES[(number * 4 + len(form)) % len(SIZES)]
        tensors = given((1, 63, 4, 100)[number % 4], d, hidden, kind, form)
        residual = number % 2 == 0
        assert_beside(native(kind, form, residual), equation(kind, form, residual), tensors, 2e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("form", ["swiglu", "relu2-mlp"])
def test_more_tokens_than_one_chunk_has(form, norm):
    tensors = given(1024, 33, 90, NORMS[norm], form)
    assert_beside(native(NORMS[norm], form, True), equation(NORMS[norm], form, True), tensors)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("form", FORMS)
def test_what_is_kept_is_what_is_computed_again(form, norm, monkeypatch):
    tensors = given(100, 33, 50, NORMS[norm], form)
    kept = found(native(NORMS[norm], form, True), tensors)
    monkeypatch.setattr(kernel, "KEPT", 0)
    again = found(native(NORMS[norm], form, True), tensors)
    assert all(torch.equal(x, y) for x, y in zip(kept, again, strict=True))


def test_a_backward_pass_leaves_what_is_kept_alone():
    tensors = [x if x is None else x.requires_grad_() for x in given(9, 7, 5, RMS_NORM, "swiglu")]
    y = native(RMS_NORM, "swiglu")(*tensors).sum()
    first = torch.autograd.grad(y, tensors[:4], retain_graph=True)
    second = torch.autograd.grad(y, tensors[:4])
    assert all(torch.equal(x, z) for x, z in zip(first, second, strict=True))


@pytest.mark.parametrize("instructions", NARROWER)
@pytest.mark.parametrize("form", FORMS)
def test_every_set_of_instructions(form, instructions, monkeypatch):
    narrow(monkeypatch, kernel, instructions)
    for rows, d, hidden in ((1, 3, 5), (63, 17, 33), (100, 48, 64)):
        tensors = given(rows, d, hidden, RMS_NORM, form)
        assert_beside(native(RMS_NORM, form, True), equation(RMS_NORM, form, True), tensors)


@pytest.mark.parametrize("form", FORMS)
def test_large_and_small_inputs(form):
    tensors = given(63, 17, 33, NO_NORM, form)
    for factor in (1e-6, 10.0):
        changed = [tensors[0] * factor, *tensors[1:]]
        assert_beside(native(NO_NORM, form), equation(NO_NORM, form), changed)
    changed = [tensors[0] * 1e6, *tensors[1:]]
    assert all(x.isfinite().all() for x in found(native(NO_NORM, form), changed))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_from_end_to_end(name):
    """One feature through one hidden unit: the function itself, and its slope."""
    x = torch.linspace(-100.0, 100.0, 40_001).unsqueeze(-1).requires_grad_()
    one = torch.ones(1, 1)
    y = gated(x, one, None, one, name)
    (slope,) = torch.autograd.grad(y.sum(), x)
    exact = x.detach().double().requires_grad_()
    value = activate(exact, name)
    (exact_slope,) = torch.autograd.grad(value.sum(), exact)
    torch.testing.assert_close(y.double(), value, rtol=2e-6, atol=1e-12)
    torch.testing.assert_close(slope.double(), exact_slope, rtol=1e-5, atol=1e-6)


def test_any_strides():
    torch.manual_seed(1)
    tensors = [torch.randn(4, 20, 9), torch.randn(9, 30), torch.randn(9, 30), torch.randn(30, 9)]

    def mixed(form, beside):
        def mixer(x, gate, up, down):
            weights = (gate.mT, up.mT, down.mT)
            return form(x[:, 3:15], *weights, None, None, None, None).transpose(0, 1)

        return mixer

    assert_beside(
        mixed(native(NO_NORM, "swiglu"), 1), mixed(equation(NO_NORM, "swiglu"), 2), tensors
    )


@pytest.mark.parametrize("form", ["swiglu", "relu2-mlp"])
def test_many_models_are_as_many_calls(form):
    each = [given(70, 17, 33, LAYER_NORM, form) for _ in range(3)]
    each[1][1], each[2][0] = each[1][1] * 2, each[2][0] * 3
    together = [None if x[0] is None else torch.stack(x) for x in zip(*each, strict=True)]
    alone = [native(LAYER_NORM, form, True)(*tensors) for tensors in each]
    assert torch.equal(native(LAYER_NORM, form, True)(*together), torch.stack(alone))
    assert_beside(
        native(LAYER_NORM, form, True),
        lambda *tensors: torch.stack(
            [
                equation(LAYER_NORM, form, True)(*(x if x is None else x[s] for x in tensors))
                for s in range(3)
            ]
        ),
        together,
    )


@pytest.mark.parametrize(
    "mapped", [(1, 0, 1, 0, 0), (0, None, None, None, None), (None, 0, 1, 0, 1)]
)
def test_mapped_over(mapped):
    torch.manual_seed(1)
    shapes = [(9, 7), (11, 7), (11, 7), (7, 11), (7,)]
    tensors = [
        torch.randn(shape if at is None else (*shape[:at], 3, *shape[at:]))
        for shape, at in zip(shapes, mapped, strict=True)
    ]

    def mapped_over(form):
        return torch.vmap(lambda x, g, u, d, s: form(x, g, u, d, None, None, s, None), mapped)

    assert_beside(
        mapped_over(native(RMS_NORM, "swiglu", True)),
        mapped_over(equation(RMS_NORM, "swiglu", True)),
        tensors,
    )


@pytest.mark.parametrize("form", ["swiglu", "relu2-mlp"])
def test_the_same_bits_with_any_number_of_threads(form):
    tensors = given(3000, 33, 50, LAYER_NORM, form)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(found(native(LAYER_NORM, form, True), tensors))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_torch_sees_an_operator():
    tensors = [
        x if x is None else x.requires_grad_() for x in given(9, 6, 5, LAYER_NORM, "first-glu")
    ]
    opcheck(gated_forward, (*tensors, LAYER_NORM, EPSILON, ACTIVATIONS["sigmoid"], True, True))
    tensors = [x if x is None else x.requires_grad_() for x in given(9, 6, 5, NO_NORM, "mlp")]
    opcheck(gated_forward, (*tensors, NO_NORM, EPSILON, ACTIVATIONS["gelu"], False, False))


def test_what_does_not_belong_together_is_refused():
    gate, down = torch.randn(7, 5), torch.randn(5, 7)
    with pytest.raises(ValueError, match=r"x \[4, 6\] cannot be multiplied by weight \[7, 5\]"):
        gated(torch.randn(4, 6), gate, gate, down, "silu")
    with pytest.raises(ValueError, match=r"wants up \[7, 5\] and down \[5, 7\]; got \[7, 5\] and"):
        gated(torch.randn(4, 5), gate, gate, down.mT, "silu")
