import pytest
import torch
import torch.nn.functional as F
from torch.library import opcheck

from palmette.ops.kernels.native import norm as kernel
from palmette.ops.kernels.native.library import unavailable
from palmette.ops.kernels.native.linear import LAYER_NORM, RMS_NORM
from palmette.ops.kernels.native.norm import norm, norm_forward

from .beside import NARROWER, assert_beside, found, narrow

pytestmark = pytest.mark.skipif(unavailable() is not None, reason="no compiler here")

EPSILON = 1e-5
KINDS = {"rms": RMS_NORM, "layer": LAYER_NORM}


def given(rows, d, shift=True):
    draw = torch.Generator().manual_seed(rows + 7 * d)
    x = 3 * torch.randn(rows, d, generator=draw) + 1
    scale, moved = torch.randn(2, d, generator=draw)
    return [x, scale, moved if shift else None]


def native(kind):
    return lambda x, scale, shift: norm(x, scale, shift, KINDS[kind], EPSILON)


def equation(kind):
    def normed(x, scale, shift):
        if kind == "layer":
            return F.layer_norm(x, x.shape[-1:], scale, shift, EPSILON)
        y = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + EPSILON) * scale
        return y if shift is None else y + shift

    return normed


@pytest.mark.parametrize("shift", [False, True], ids=["scale", "scale-and-shift"])
@pytest.mark.parametrize("rows", [1, 63, 1024])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_equation(kind, rows, shift):
    for d in (3, 16, 17, 33, 48, 64, 100, 257):
        assert_beside(native(kind), equation(kind), given(rows, d, shift))


@pytest.mark.parametrize("instructions", NARROWER)
@pytest.mark.parametrize("kind", KINDS)
def test_every_set_of_instructions(kind, instructions, monkeypatch):
    narrow(monkeypatch, kernel, instructions)
    for d in (3, 17, 64, 100):
        assert_beside(native(kind), equation(kind), given(63, d))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_extreme_inputs(kind, factor):
    x, scale, shift = given(63, 33)
    assert_beside(native(kind), equation(kind), [x * factor, scale, shift])


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_mean_does_not_swallow_the_rest(kind):
    x, scale, shift = given(63, 33)
    assert_beside(native(kind), equation(kind), [x + 100, scale, shift])


@pytest.mark.parametrize("kind", KINDS)
def test_any_strides(kind):
    torch.manual_seed(1)
    tensors = [torch.randn(4, 9, 80), torch.randn(33), torch.randn(33)]

    def part(form):
        return lambda x, scale, shift: form(x[..., 7:40], scale, shift).transpose(0, 1)

    assert_beside(part(native(kind)), part(equation(kind)), tensors)


@pytest.mark.parametrize("mapped", [(0, 0, 0), (1, None, None), (None, 1, 0)])
@pytest.mark.parametrize("kind", KINDS)
def test_mapped_over(kind, mapped):
    torch.manual_seed(1)
    tensors = [
        torch.randn(shape if at is None else (*shape[:at], 3, *shape[at:]))
        for shape, at in zip([(9, 33), (33,), (33,)], mapped, strict=True)
    ]
    assert_beside(torch.vmap(native(kind), mapped), torch.vmap(equation(kind), mapped), tensors)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bits_with_any_number_of_threads(kind):
    tensors = given(60_000, 33)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(found(native(kind), tensors))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


def test_torch_sees_an_operator():
    x, scale, shift = (x.requires_grad_() for x in given(9, 6))
    opcheck(norm_forward, (x, scale, shift, LAYER_NORM, EPSILON))
    opcheck(norm_forward, (x, scale, None, RMS_NORM, EPSILON))


def test_what_does_not_belong_together_is_refused():
    with pytest.raises(ValueError, match=r"x \[4, 5\] cannot be normalised with a scale \[6\]"):
        norm(torch.randn(4, 5), torch.randn(6), None, RMS_NORM, EPSILON)
    with pytest.raises(ValueError, match=r"of fp32, not of torch.float64"):
        norm(torch.randn(4, 5).double(), torch.randn(5), None, RMS_NORM, EPSILON)
