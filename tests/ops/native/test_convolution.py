import pytest
import torch
import torch.nn.functional as F

from palmette.ops.kernels import convolution as torch_form
from palmette.ops.kernels.native import convolution as native
from palmette.ops.kernels.native.library import Build, library, unavailable

pytestmark = pytest.mark.skipif(bool(unavailable()), reason=f"no native kernels: {unavailable()}")


@pytest.fixture(params=["", "avx2", "portable"])
def instructions(request, monkeypatch):
    """The kernel for other instructions in the place of this machine's own."""
    if request.param:
        if request.param == "avx2" and "avx" not in Build("probe").flags().__str__():
            pytest.skip("this processor has no AVX2")
        other = library("convolution", instructions=request.param)
        monkeypatch.setattr(native, "library", lambda name: other)


def exact(x, weight, bias, dilation, silu):
    y = torch_form.convolution_loop(x, weight, bias, dilation)
    return F.silu(y) if silu else y


def error(given, wanted):
    return ((given - wanted).norm() / wanted.norm().clamp(min=1e-20)).item()


CASES = [  # length, channels, taps, dilation, bias, SiLU
    (1, 33, 4, 1, True, True),
    (63, 33, 4, 1, True, True),
    (100, 70, 3, 1, False, True),
    (130, 5, 2, 1, True, False),
    (63, 17, 1, 1, True, True),
    (300, 33, 4, 4, True, True),
    (100, 70, 16, 2, False, False),
    (1024, 20, 4, 1, False, True),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.usefixtures("instructions")
def test_values_and_gradients_are_those_of_the_loop(case):
    length, channels, taps, dilation, biased, silu = case
    torch.manual_seed(length)
    wide = torch.randn(2, length, channels + 11)
    x = wide[..., 4 : 4 + channels].requires_grad_()  # rows that are parts of longer ones
    given = [x, torch.randn(channels, taps, requires_grad=True)]
    given += [torch.randn(channels, requires_grad=True)] * biased
    slope = torch.randn(2, length, channels)
    wanted = [tensor.detach().double().requires_grad_() for tensor in given]

    y = native.convolution(*given, *[None] * (not biased), dilation, silu)
    reference = exact(*wanted, *[None] * (not biased), dilation, silu)
    assert error(y, reference) < 1e-6
    found = torch.autograd.grad(y, given, slope)
    for one, other in zip(
        found, torch.autograd.grad(reference, wanted, slope.double()), strict=True
    ):
        assert error(one, other) < 2e-6


def test_transposed_and_broadcast_inputs():
    torch.manual_seed(0)
    x = torch.randn(2, 9, 63).transpose(1, 2)
    weight, bias = torch.randn(4, 9).T, torch.randn(1).expand(9)
    wanted = exact(x, weight, bias, 1, True)
    torch.testing.assert_close(native.convolution(x, weight, bias, 1, True), wanted)
    same = torch.randn(1, 63, 9).expand(3, -1, -1)
    torch.testing.assert_close(
        native.convolution(same, weight, None), exact(same, weight, None, 1, False)
    )


def test_extreme_inputs_stay_finite():
    x = torch.tensor([-1e30, -200.0, -90.0, 0.0, 90.0, 200.0, 1e30]).view(1, 7, 1).requires_grad_()
    weight = torch.tensor([[0.5, 1.0]], requires_grad=True)
    y = native.convolution(x, weight, None, 1, True)
    assert y.isfinite().all()
    torch.testing.assert_close(y, exact(x, weight, None, 1, True))
    dx, _ = torch.autograd.grad(y.sum(), [x, weight])
    assert dx.isfinite().all()


def test_many_models_at_once_are_each_by_itself():
    torch.manual_seed(1)
    x, weight, bias = torch.randn(3, 2, 63, 20), torch.randn(3, 20, 4), torch.randn(3, 20)

    leaves = [tensor.requires_grad_() for tensor in (x, weight, bias)]
    mapped = torch.func.vmap(lambda *one: native.convolution(*one, 1, True))(*leaves)
    slopes = torch.autograd.grad(mapped.square().sum(), leaves)
    for i in range(3):
        alone = [tensor[i].detach().clone().requires_grad_() for tensor in leaves]
        y = native.convolution(*alone, 1, True)
        assert torch.equal(mapped[i], y)
        for all_at_once, one in zip(
            slopes, torch.autograd.grad(y.square().sum(), alone), strict=True
        ):
            assert torch.equal(all_at_once[i], one)
    shared = torch.func.vmap(lambda x: native.convolution(x, weight[0], None))(x)
    torch.testing.assert_close(shared, native.convolution(x.flatten(0, 1), weight[0]).view_as(x))


@pytest.mark.parametrize("dilation", [1, 3])
def test_the_bits_do_not_depend_on_the_threads(dilation):
    torch.manual_seed(2)
    x, weight = torch.randn(3, 300, 37), torch.randn(37, 4)
    slope = torch.randn_like(x)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
            y = native.convolution(*leaves, None, dilation, True)
            results.append([y.detach(), *torch.autograd.grad(y, leaves, slope)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.parametrize(("taps", "dilation"), [(1, 1), (4, 1), (3, 2)])
def test_steps_equal_the_whole(taps, dilation):
    torch.manual_seed(3)
    x, weight, bias = torch.randn(2, 30, 21), torch.randn(21, taps), torch.randn(21)
    whole = native.convolution(x, weight, bias, dilation, True)
    past = torch.zeros(2, dilation * (taps - 1), 21)
    for t in range(30):
        kept = past.clone()
        y, after = native.convolution_step(x[:, t], past, weight, bias, dilation, True)
        assert torch.equal(past, kept)
        past = after
        torch.testing.assert_close(y, whole[:, t])


def test_what_does_not_go_together_is_refused():
    x, weight = torch.zeros(2, 5, 4), torch.zeros(4, 3)
    with pytest.raises(ValueError, match=r"a weight \[3, 3\] does not go with x \[2, 5, 4\]"):
        native.convolution(x, torch.zeros(3, 3))
    with pytest.raises(ValueError, match="computes in float32"):
        native.convolution(x.double(), weight.double())


def test_the_operator_is_one_of_torch():
    torch.manual_seed(4)
    x, weight = torch.randn(2, 9, 5, requires_grad=True), torch.randn(5, 3, requires_grad=True)
    bias = torch.randn(5, requires_grad=True)
    torch.library.opcheck(native.forward_operator, (x, weight, bias, 2, True))
    torch.library.opcheck(native.forward_operator, (x, weight, None, 1, False))
