"""Our module against the published layers: their equations around fla's slow recurrences.

The layers themselves need a GPU, so what stands around each recurrence is written out here, from
the paper and fla's layer of that name, with the weights of our module. Projections, convolutions,
feature maps, gates, norms and the output are compared with it, values and every gradient.
"""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from palmette.ops._base import Place
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.lin import Lin
from tests.parity.oracles import assert_parity, naive

WIDTH, HEADS = 12, 4
PARTS = ("gate", "beta", "strength", "dt", "decay", "erase", "write")


class Parts:
    """What our module projects a token to, by name, and its weights: [b t features]."""

    def __init__(self, module: LinearRecurrence, x: Tensor) -> None:
        mixed, *rest = (x @ module.project.weight.T).split(module.widths, -1)
        self.module = module
        self.streams = module.streams
        self.mixed = mixed
        self.gates = dict(zip(PARTS, rest, strict=True))

    def q_k_v(self, steps: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values [b t h size], a token's several keys one after the other."""
        q, k, _, v = self.convolved().split(self.streams, -1)
        return heads(q), heads(k, steps), heads(v, steps)

    def convolved(self) -> Tensor:
        """After the short convolution, where there is one, and perhaps its SiLU."""
        taps = self.module.taps
        if taps is None:
            return self.mixed
        channels, past = taps.shape[0], taps.shape[1] - 1
        image = F.pad(self.mixed.transpose(1, 2), (past, 0))
        y = F.conv1d(image, taps.unsqueeze(1), groups=channels).transpose(1, 2)
        return F.silu(y) if self.module.conv_activation == "silu" else y

    def gate(self, name: str, up: str) -> Tensor:
        """A low-rank gate before its nonlinearity."""
        return self.low_rank(self.gates[name], up)

    def low_rank(self, low: Tensor, up: str) -> Tensor:
        return low @ getattr(self.module, f"{up}_up").weight.T + getattr(self.module, f"{up}_bias")

    def dt(self, raw: Tensor) -> Tensor:
        """softplus(W x + dt_bias), by head or by channel."""
        return F.softplus(raw + self.module.dt_bias)

    def out(self, o: Tensor, gate: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """RMS norm of each head [b t h v], the gate, the output projection."""
        o = (rms(o) * self.module.out_scale).flatten(2)
        if gate is not None:
            o = o * gate(self.gates["gate"])
        return o @ self.module.out.weight.T


def heads(x: Tensor, steps: int = 1) -> Tensor:
    """[b t (steps heads size)] -> [b (t steps) heads size]."""
    b, t, m = x.shape
    return x.reshape(b, t * steps, HEADS, m // (HEADS * steps))


def rms(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5)


def unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6)


def late(*tensors: Tensor) -> list[Tensor]:
    """Heads second, time third, as half of fla's files want it."""
    return [x.transpose(1, 2) for x in tensors]


def linear_attention(p: Parts) -> Tensor:
    """elu + 1 and the running normalisation; fla adds 1e-10 to the denominator."""
    q, k, v = p.q_k_v()
    loop = naive("linear_attn", "naive_recurrent_linear_attn")
    o, _ = loop(F.elu(q) + 1, F.elu(k) + 1, v, normalize=True)
    return o.flatten(2) @ p.module.out.weight.T


def retnet(p: Parts) -> Tensor:
    """Without rotary positions, which `test_lin.py` holds to what they mean."""
    o = naive("retention", "naive_retention")(*late(*p.q_k_v()))
    return p.out(o.transpose(1, 2), F.silu)


def gla(p: Parts) -> Tensor:
    q, k, v = p.q_k_v()
    g = F.logsigmoid(heads(p.gate("decay", "decay"))) / 16
    return p.out(naive("gla", "naive_recurrent_gla")(q, k, v, g)[0], F.silu)


def hgrn2(p: Parts) -> Tensor:
    """f = b + (1 - b) sigmoid(z) with a lower bound b; one norm over all heads, no gate."""
    q, f, i = p.q_k_v()
    bound = torch.sigmoid(p.module.decay_floor).view(HEADS, -1)
    forget = bound + (1 - bound) * torch.sigmoid(f)
    o, _ = naive("gla", "naive_recurrent_gla")(F.silu(q), 1 - forget, i, forget.log())
    return (rms(o.flatten(2)) * p.module.out_scale) @ p.module.out.weight.T


def rwkv6(p: Parts) -> Tensor:
    """w = -e^z, z a low-rank map with a tanh; the bonus weighs the present token."""
    r, k, v = p.q_k_v()
    w = -heads(p.low_rank(torch.tanh(p.gates["decay"]), "decay")).exp()
    loop = naive("rwkv6", "naive_recurrent_rwkv6", "recurrent_naive.py")
    o, _ = loop(*late(r, k, v, w), p.module.bonus)
    return p.out(o.transpose(1, 2), F.silu)


def rwkv7(p: Parts) -> Tensor:
    """Removal key, replacement key, rates; r.k under learned weights comes after the norm."""
    r, k, v = p.q_k_v()
    w = -torch.tensor(-0.5).exp() * torch.sigmoid(
        heads(p.low_rank(torch.tanh(p.gates["decay"]), "decay"))
    )
    rate = torch.sigmoid(heads(p.gate("erase", "erase")))
    removal = unit(k * p.module.removal_scale.view(HEADS, -1))
    k = k * (1 + (rate - 1) * p.module.removal_mix.view(HEADS, -1))
    loop = naive("generalized_delta_rule", "dplr_recurrence", "dplr/naive.py")
    o, _ = loop(*late(r, k, v, -removal, rate * removal, w))
    r = r * r.shape[-1] ** -0.5  # the loop scales its queries, ours does so for good
    now = (r * k * p.module.echo.view(HEADS, -1)).sum(-1, keepdim=True) * v
    o = rms(o.transpose(1, 2)) * p.module.out_scale + now
    return (o.flatten(2) * torch.sigmoid(p.gates["gate"])) @ p.module.out.weight.T


def deltanet(p: Parts) -> Tensor:
    q, k, v = p.q_k_v()
    beta = torch.sigmoid(p.gates["beta"]).transpose(1, 2)
    o, _ = naive("delta_rule", "delta_rule_recurrence")(*late(unit(q), unit(k), v), beta)
    return p.out(o.transpose(1, 2))


def gated_deltanet(p: Parts) -> Tensor:
    q, k, v = p.q_k_v()
    beta = torch.sigmoid(p.gates["beta"])
    g = -p.module.A_log.exp() * p.dt(p.gates["dt"])
    loop = naive("gated_delta_rule", "naive_recurrent_gated_delta_rule")
    return p.out(loop(unit(q), unit(k), v, beta, g)[0], F.silu)


def gated_deltaproduct(p: Parts) -> Tensor:
    """Three steps a token, beta up to 2."""
    q, k, v = p.q_k_v(steps=3)
    beta = 2 * torch.sigmoid(heads(p.gates["beta"], 3).squeeze(-1))
    g = -p.module.A_log.exp() * p.dt(p.gates["dt"])
    loop = naive("gated_delta_product", "naive_recurrent_gated_delta_product")
    scale = q.shape[-1] ** -0.5
    return p.out(loop(unit(q), unit(k), v, g, beta, scale, num_householder=3)[0], F.silu)


def kda(p: Parts) -> Tensor:
    q, k, v = p.q_k_v()
    beta = torch.sigmoid(p.gates["beta"])
    step = p.dt(p.gates["decay"] @ p.module.decay_up.weight.T)
    g = -p.module.A_log.exp().view(HEADS, 1) * heads(step)
    return p.out(
        naive("kda", "naive_recurrent_kda")(unit(q), unit(k), v, g, beta)[0], torch.sigmoid
    )


def gated_deltanet2(p: Parts) -> Tensor:
    """Erases as gated in each channel of the key, writes as gated in each of the value."""
    q, k, v = p.q_k_v()
    step = p.dt(p.gates["decay"] @ p.module.decay_up.weight.T)
    g = -p.module.A_log.exp().view(HEADS, 1) * heads(step)
    b = torch.sigmoid(heads(p.gate("erase", "erase")))
    w = torch.sigmoid(heads(p.gate("write", "write")))
    o, _ = naive("gdn2", "naive_recurrent_gdn2")(unit(q), unit(k), v, g, b, w)
    return p.out(o, torch.sigmoid)


def comba(p: Parts) -> Tensor:
    """A learned share of the delta rule's erasure, and queries corrected by the key.

    As in the paper. fla's layer scales the key that erases and corrects the query before their
    lengths become 1, so that its share has no effect.
    """
    q, k, v = p.q_k_v()
    q, k = unit(q), unit(k)
    beta = torch.sigmoid(p.gates["beta"])
    g = -p.module.A_log.exp() * p.dt(p.gates["dt"])
    erased = torch.sigmoid(p.module.erase_share).view(HEADS, 1) * k
    corrected = q - p.module.correction.view(HEADS, 1) * k
    o, _ = naive("comba", "naive_recurrent_comba")(corrected, k, v, erased, beta, g)
    return p.out(o, F.silu)


LAYERS: dict[str, tuple[Lin, Callable[[Parts], Tensor]]] = {
    "linear attention": (
        Lin(conv=0, feature="elu1", read="normalised", out_norm="none"),
        linear_attention,
    ),
    "retnet": (
        Lin(conv=0, decay="constant", value_ratio=Fraction(2), out_gate="silu"),
        retnet,
    ),
    "gla": (Lin(conv=0, key_ratio=Fraction(1, 2), decay="vector", out_gate="silu"), gla),
    "hgrn2": (Lin(conv=0, feature="silu", decay="tied_floor", out_norm="rms_after"), hgrn2),
    "rwkv6": (
        Lin(conv=2, conv_activation="none", decay="vector_exp", read="bonus", out_gate="silu"),
        rwkv6,
    ),
    "rwkv7": (
        Lin(
            conv=2,
            conv_activation="none",
            decay="vector_sigmoid",
            erase="removal",
            read="echo",
            out_gate="sigmoid",
        ),
        rwkv7,
    ),
    "deltanet": (Lin(erase="beta"), deltanet),
    "gated deltanet": (
        Lin(value_ratio=Fraction(2), decay="scalar", erase="beta", out_gate="silu"),
        gated_deltanet,
    ),
    "gated deltaproduct": (
        Lin(decay="scalar", erase="beta2", householders=3, out_gate="silu"),
        gated_deltaproduct,
    ),
    "kda": (Lin(decay="vector_dt", erase="beta", out_gate="sigmoid"), kda),
    "gated deltanet 2": (
        Lin(decay="vector_dt", erase="channel_read", write="channel", out_gate="sigmoid"),
        gated_deltanet2,
    ),
    "comba": (
        Lin(decay="scalar", erase="share", read="corrected", out_gate="silu"),
        comba,
    ),
}


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("name", LAYERS)
def test_the_module_is_the_published_layer(name: str, length: int) -> None:
    torch.manual_seed(length)
    lin, published = LAYERS[name]
    place = Place(width=WIDTH, depth=1, hidden=1.0, vocabulary=256, context=128)
    planned = lin.plan(place)
    module = planned.cls(**dict(planned.arguments))
    with torch.no_grad():
        for parameter in module.parameters():  # so that no scale is 1 and no bias 0
            parameter.add_(0.1 * torch.randn(parameter.shape))
    x = torch.randn(2, length, WIDTH).requires_grad_()
    leaves = {"x": x, **dict(module.named_parameters())}
    assert_parity(module(x), published(Parts(module, x)), leaves)
