import pytest
import torch

from palmette.ops.kernels.convolution import convolution, convolution_loop


@pytest.mark.parametrize("dilation", [1, 3])
@pytest.mark.parametrize("taps", [1, 2, 4, 16])
@pytest.mark.parametrize("length", [1, 63, 100])
def test_fast_form_has_the_values_and_gradients_of_the_loop(
    length: int, taps: int, dilation: int
) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(shape, requires_grad=True) for shape in ((2, length, 5), (5, taps), (5,))]
    slow, fast = convolution_loop(*inputs, dilation), convolution(*inputs, dilation)
    weight = torch.randn_like(slow)
    torch.testing.assert_close(fast, slow)
    torch.testing.assert_close(
        torch.autograd.grad((fast * weight).sum(), inputs),
        torch.autograd.grad((slow * weight).sum(), inputs),
        atol=1e-5,
        rtol=1e-4,
    )


def test_takes_a_part_of_a_wider_tensor() -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(3, 63, 11)[..., 2:9], torch.randn(7, 3)
    torch.testing.assert_close(convolution(x, weight), convolution_loop(x, weight))


def test_second_derivative() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 9, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(convolution, (x, weight))
