"""K3: the depthwise causal convolution over time.

    y_t[d] = bias[d] + sum_j weight[d, j] x_{t - dilation (w - 1 - j)}[d]

with w taps a channel, the last for the present. The fast form hands torch an image of height 1 in
channels-last layout, which is what [b t d] already is in memory. On one core of an AVX-512 machine,
at b = 32, t = 128, d = 192, w = 4, forward and backward took 1.9 ms so, 4.3 ms through `conv1d` and
5.4 ms through four shifted multiply-adds (medians of 8).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def convolution_loop(
    x: Float[Tensor, "b t d"],
    weight: Float[Tensor, "d w"],
    bias: Float[Tensor, " d"] | None = None,
    dilation: int = 1,
) -> Float[Tensor, "b t d"]:
    """Tap by tap, as the equation reads.

    >>> x = torch.tensor([[[1.0], [2.0], [3.0]]])
    >>> convolution_loop(x, weight=torch.tensor([[10.0, 1.0]])).flatten()
    tensor([ 1., 12., 23.])
    """
    length, taps = x.shape[1], weight.shape[1]
    y = torch.zeros_like(x)
    for j in range(taps):
        shift = dilation * (taps - 1 - j)
        y = y + weight[:, j] * F.pad(x, (0, 0, shift, 0))[:, :length]
    return y if bias is None else y + bias


def convolution(
    x: Float[Tensor, "b t d"],
    weight: Float[Tensor, "d w"],
    bias: Float[Tensor, " d"] | None = None,
    dilation: int = 1,
) -> Float[Tensor, "b t d"]:
    """The values of `convolution_loop` in one call."""
    past = dilation * (weight.shape[1] - 1)
    image = F.pad(x, (0, 0, past, 0)).transpose(1, 2).unsqueeze(2)
    # [d 1 1 w] in channels-last layout; one channel in each group needs no copy for that
    taps = weight[:, None, :, None].permute(0, 3, 1, 2)
    y = F.conv2d(image, taps, bias, dilation=(1, dilation), groups=x.shape[2])
    return y.squeeze(2).transpose(1, 2)


def convolution_step(
    x: Float[Tensor, "b d"],
    past: Float[Tensor, "b p d"],
    weight: Float[Tensor, "d w"],
    bias: Float[Tensor, " d"] | None = None,
    dilation: int = 1,
) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b p d"]]:
    """One token: its output, and the last dilation (w - 1) inputs after it.

    >>> x, past = torch.full((1, 1), 3.0), torch.full((1, 1, 1), 2.0)
    >>> convolution_step(x, past, weight=torch.tensor([[10.0, 1.0]]))
    (tensor([[23.]]), tensor([[[3.]]]))
    """
    seen = torch.cat((past, x.unsqueeze(1)), 1)
    y = torch.einsum("bwd,dw->bd", seen[:, ::dilation], weight)
    return (y if bias is None else y + bias), seen[:, 1:]
