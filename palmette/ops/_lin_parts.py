"""The parts of the `lin` family that are functions alone: widths, features, decays, sub-steps."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from palmette.ops._positions import rotate_by_position

LOW_RANK_DECAYS = ("vector", "vector_dt", "vector_exp", "vector_sigmoid")
TIED_DECAYS = ("tied", "tied_floor")
BETA_ERASES = ("beta", "beta2", "share")
CHANNEL_ERASES = ("channel", "channel_read", "free", "removal")


def heads_first(x: Float[Tensor, "b t m"], steps: int, heads: int) -> Float[Tensor, "b h s k"]:
    """Splits features into (sub-step, head, size) and puts the sub-steps of a token into time."""
    x = x.reshape(*x.shape[:2], steps, heads, x.shape[-1] // (steps * heads))
    return x.permute(0, 3, 1, 2, 4).flatten(2, 3).contiguous()


def on_first_step(x: Float[Tensor, "b h t k"], steps: int) -> Float[Tensor, "b h s k"]:
    """x at the first sub-step of each token, 0 at the others."""
    return x if steps == 1 else F.pad(x.unsqueeze(3), (0, 0, 0, steps - 1)).flatten(2, 3)


def on_last_step(x: Float[Tensor, "b h t k"], steps: int) -> Float[Tensor, "b h s k"]:
    """x at the last sub-step of each token, 0 at the others."""
    return x if steps == 1 else F.pad(x.unsqueeze(3), (0, 0, steps - 1, 0)).flatten(2, 3)


def on_each_step(x: Float[Tensor, "b h t k"], steps: int) -> Float[Tensor, "b h s k"]:
    """x at every sub-step of each token."""
    return x if steps == 1 else x.repeat_interleave(steps, 2)


def feature_map(x: Float[Tensor, "b h t k"], name: str) -> Float[Tensor, "b h t k"]:
    """The feature map of queries and keys by name.

    elu1 is elu(x) + 1 (arXiv 2006.16236), relu is Performer-ReLU's without its offset
    (arXiv 2009.14794), softmax is over the channels of a key (arXiv 1812.01243).
    """
    if name == "silu":
        return F.silu(x)
    if name == "relu":
        return F.relu(x)
    if name == "elu1":
        return F.elu(x) + 1.0
    if name == "softmax":
        return torch.softmax(x, -1)
    assert name == "identity", f"no feature map is called {name!r}"
    return x


def unit_length(x: Float[Tensor, "b h t k"]) -> Float[Tensor, "b h t k"]:
    """x / |x|, and less than that near 0, so that the length never exceeds 1."""
    return x * torch.rsqrt(torch.linalg.vecdot(x, x).unsqueeze(-1) + 1e-6)


def rotate(x: Float[Tensor, "b h s k"], steps: int, first: int) -> Float[Tensor, "b h s k"]:
    """Rotary positions from `first` (arXiv 2104.09864); sub-steps of a token stand at one place."""
    b, h, s, k = x.shape
    by_token = x.reshape(b, h, s // steps, steps, k).permute(0, 2, 1, 3, 4).flatten(2, 3)
    turned = rotate_by_position(by_token, first).reshape(b, s // steps, h, steps, k)
    return turned.permute(0, 2, 1, 3, 4).reshape(b, h, s, k)


def retention(heads: int) -> Float[Tensor, " h"]:
    """RetNet's log decay for each head: log(1 - 2^(-5 - head)) (arXiv 2307.08621)."""
    return torch.log1p(-torch.exp2(-5.0 - torch.arange(heads)))


def spread_rates(number: int) -> Float[Tensor, " h"]:
    """log A with A uniform in [1, 16] (Mamba-2, arXiv 2405.21060)."""
    return torch.empty(number).uniform_(1.0, 16.0).log()


def spread_steps(number: int) -> Float[Tensor, " h"]:
    """The bias whose softplus, the step dt, is log-uniform in [0.001, 0.1] (Mamba, 2312.00752)."""
    step = torch.empty(number).uniform_(math.log(0.001), math.log(0.1)).exp()
    return step + torch.log(-torch.expm1(-step))  # the inverse of softplus


def spread_speeds(number: int, least: float, most: float) -> Float[Tensor, " m"]:
    """Initial biases of decays, rising over the channels as in RWKV-6 and 7 (arXiv 2404.05892).

    There the curve is of a power that depends on the layer; 3/2 is that of a layer in the middle.
    """
    return least + (most - least) * (torch.arange(number) / max(1, number - 1)) ** 1.5


def spread_floors(heads: int, key_size: int) -> Float[Tensor, " m"]:
    """Logits of lower bounds of forget gates, spread evenly over (0, 1) in each head."""
    return torch.logit((torch.arange(key_size) + 0.5) / key_size).repeat(heads)


def not_decayed(values: Tensor) -> nn.Parameter:
    """A parameter that the optimiser's weight decay leaves alone."""
    parameter = nn.Parameter(values)
    parameter.no_decay = True  # type: ignore[attr-defined]
    return parameter


def projection_widths(
    *,
    heads: int,
    key_heads: int,
    key_size: int,
    value_size: int,
    rank: int,
    householders: int,
    decay: str,
    write: str,
    erase: str,
    out_gate: str,
) -> dict[str, int]:
    """What the input projection of `lin` computes for each token, and how wide each part is.

    The first four go through the short convolution. A part that the knobs leave out is 0 wide.
    """
    keys = householders * key_heads * key_size
    gates = householders * heads
    own_strength = write == "beta" or (write == "complement" and decay == "none")
    own_step = decay == "scalar" or (write == "dt" and decay != "vector_dt")
    return {
        "q": key_heads * key_size,
        "k": keys,
        "erase_key": keys if erase == "free" else 0,
        "v": householders * heads * value_size,
        "gate": heads * value_size if out_gate != "none" else 0,
        "beta": gates if erase in BETA_ERASES else 0,
        "strength": gates if own_strength else 0,
        "dt": heads if own_step else 0,
        "decay": rank if decay in LOW_RANK_DECAYS else 0,
        "erase": rank if erase in CHANNEL_ERASES else 0,
        "write": rank if write == "channel" else 0,
    }
