import pytest
import torch
import torch.nn.functional as F
from torch.library import opcheck

from palmette.ops.kernels.native import linear as kernel
from palmette.ops.kernels.native.library import unavailable
from palmette.ops.kernels.native.linear import LAYER_NORM, NO_NORM, RMS_NORM, linear, linear_forward

from .beside import NARROWER, assert_beside, found, narrow

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

EPSILON = 1e-5
SIZES = (1, 3, 16, 17, 33, 48, 64, 100, 257)
NORMS = {"plain": NO_NORM, "rms": RMS_NORM, "layer": LAYER_NORM}


def given(rows, n, k, norm, *, bias=True, residual=True):
    draw = torch.Generator().manual_seed(rows + 7 * n + 31 * k)

    def normal(*shape):
        return torch.randn(shape, generator=draw)

    return [
        normal(rows, k),
        normal(n, k),
        normal(n) if bias else None,
        normal(k) if norm else None,
        normal(k) if norm == LAYER_NORM else None,
        normal(rows, n) if residual else None,
    ]


def native(norm):
    return lambda *tensors: linear(*tensors, norm, EPSILON)


def normed(x, scale, shift, norm):
    if norm == RMS_NORM:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * scale
    return F.layer_norm(x, x.shape[-1:], scale, shift, EPSILON) if norm else x


def equation(norm):
    def product(x, weight, bias, scale, shift, residual):
        y = normed(x, scale, shift, norm) @ weight.mT
        y = y if bias is None else y + bias
        return y if residual is None else y + residual

    return product


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("norm", NORMS)
def test_it_is_the_equation(norm, n):
    for number, k in enumerate(SIZES):
        if k == 1 and norm != "plain":
            continue  # a norm of one feature has no slope but rounding
        rows = (1, 63, 100)[(n + number) % 3]
        tensors = given(rows, n, k, NORMS[norm], bias=n % 2 == 0, residual=k % 2 == 0)
        assert_beside(native(NORMS[norm]), equation(NORMS[norm]), tensors)


@pytest.mark.parametrize("norm", NORMS)
def test_more_tokens_than_one_chunk_has(norm):
    tensors = given(1024, 33, 50, NORMS[norm])
    assert_beside(native(NORMS[norm]), equation(NORMS[norm]), tensors)


@pytest.mark.parametrize("instructions", NARROWER)
@pytest.mark.parametrize("norm", NORMS)
def test_every_set_of_instructions(norm, instructions, monkeypatch):
    narrow(monkeypatch, kernel, instructions)
    for rows, n, k in ((1, 3, 5), (63, 33, 17), (100, 64, 50)):
        tensors = given(rows, n, k, NORMS[norm])
        assert_beside(native(NORMS[norm]), equation(NORMS[norm]), tensors)


VIEWS = {
    "columns-of-more": ((4, 9, 80), lambda x: x[..., 7:40]),
    "tokens-of-more": ((4, 19, 33), lambda x: x[:, 3:12]),
    "turned": ((4, 33, 9), lambda x: x.mT),
    "every-other": ((4, 9, 66), lambda x: x[..., ::2]),
    "batches-swapped": ((9, 4, 33), lambda x: x.transpose(0, 1)),
    "expanded": ((1, 9, 33), lambda x: x.expand(4, 9, 33)),
}


@pytest.mark.parametrize("view", VIEWS)
def test_any_strides_of_what_it_is_given(view):
    shape, taken = VIEWS[view]
    torch.manual_seed(1)
    tensors = [torch.randn(shape), torch.randn(33, 6), torch.randn(6, 4, 9)]
    assert_beside(
        lambda x, weight, residual: linear(taken(x), weight.mT, residual=residual.permute(1, 2, 0)),
        lambda x, weight, residual: taken(x) @ weight + residual.permute(1, 2, 0),
        tensors,
    )


@pytest.mark.parametrize("change", ["expanded", "turned", "columns-of-more"])
def test_any_strides_of_the_derivative_that_comes_back(change):
    torch.manual_seed(1)
    x, weight = torch.randn(4, 9, 33, requires_grad=True), torch.randn(6, 33, requires_grad=True)
    dy = {
        "expanded": torch.randn(()).expand(4, 9, 6),
        "turned": torch.randn(4, 6, 9).mT,
        "columns-of-more": torch.randn(4, 9, 13)[..., 2:8],
    }[change]
    dx, dw = torch.autograd.grad(linear(x, weight), (x, weight), dy)
    torch.testing.assert_close(dx, dy @ weight, rtol=1e-5, atol=1e-5)
    exact = torch.einsum("btn,btk->nk", dy, x)
    torch.testing.assert_close(dw, exact, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_extreme_inputs(norm):
    for factor in (1e-12, 1e12):
        tensors = given(63, 17, 33, NORMS[norm], bias=False, residual=False)
        tensors[0] = tensors[0] * factor
        assert_beside(native(NORMS[norm]), equation(NORMS[norm]), tensors)


def test_no_tokens_at_all():
    weight = torch.randn(5, 3, requires_grad=True)
    linear(torch.randn(0, 3), weight, torch.randn(5)).sum().backward()
    assert torch.equal(weight.grad, torch.zeros(5, 3))


@pytest.mark.parametrize("norm", NORMS)
def test_many_models_are_as_many_calls(norm):
    each = [given(70, 17, 33, NORMS[norm]) for _ in range(3)]
    each[1][1], each[2][0] = each[1][1] * 2, each[2][0] * 3
    together = [None if x[0] is None else torch.stack(x) for x in zip(*each, strict=True)]
    alone = [native(NORMS[norm])(*tensors) for tensors in each]
    assert torch.equal(native(NORMS[norm])(*together), torch.stack(alone))
    assert_beside(
        native(NORMS[norm]),
        lambda *tensors: torch.stack(
            [equation(NORMS[norm])(*(x if x is None else x[s] for x in tensors)) for s in range(3)]
        ),
        together,
    )


@pytest.mark.parametrize("mapped", [(1, 1, 1, 1), (1, None, None, 0), (None, 0, 1, None)])
def test_mapped_over(mapped):
    torch.manual_seed(1)
    shapes = [(9, 33), (6, 33), (6,), (9, 6)]
    tensors = [
        torch.randn(shape if at is None else (*shape[:at], 3, *shape[at:]))
        for shape, at in zip(shapes, mapped, strict=True)
    ]
    assert_beside(
        torch.vmap(lambda x, w, b, r: linear(x, w, b, None, None, r), mapped),
        torch.vmap(lambda x, w, b, r: x @ w.mT + b + r, mapped),
        tensors,
    )


def test_mapped_over_twice():
    x, weight = torch.randn(2, 3, 9, 33), torch.randn(2, 3, 6, 33)
    twice = torch.vmap(torch.vmap(linear))
    assert_beside(twice, lambda x, weight: x @ weight.mT, [x, weight])


@pytest.mark.parametrize("norm", NORMS)
def test_the_same_bits_with_any_number_of_threads(norm):
    tensors = given(3000, 33, 50, NORMS[norm])
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(found(native(NORMS[norm]), tensors))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_torch_sees_an_operator():
    tensors = [x.requires_grad_() for x in given(9, 6, 5, LAYER_NORM)]
    opcheck(linear_forward, (*tensors, LAYER_NORM, EPSILON))
    opcheck(linear_forward, (*tensors[:2],))


def test_a_second_derivative_is_refused():
    x, weight = (torch.randn(4, 4, requires_grad=True) for _ in range(2))
    (first,) = torch.autograd.grad(linear(x, weight).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="linear_backward"):
        first.square().sum().backward()


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match=r"x \[4, 5\] cannot be multiplied by weight \[3, 6\]"):
        linear(torch.randn(4, 5), torch.randn(3, 6))
    with pytest.raises(ValueError, match=r"is \[4\] of torch.float32; it has to be \[3\]"):
        linear(torch.randn(4, 5), torch.randn(3, 5), torch.randn(4))
    with pytest.raises(ValueError, match=r"residual is \[4, 5\], but y \[4, 3\]"):
        linear(torch.randn(4, 5), torch.randn(3, 5), residual=torch.randn(4, 5))
    with pytest.raises(ValueError, match=r"of fp32, not of torch.float64"):
        linear(torch.randn(4, 5).double(), torch.randn(3, 5).double())
