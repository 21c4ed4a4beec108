"""K1 against the slow recurrences that fla (flash-linear-attention) keeps for every published row.

Each case says in one line how a published recurrence is written with q, k, v, the log decay, a and
b. Ours has time third, [b h t k]; `early` puts it second where theirs wants that.
"""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from palmette.ops._lin_parts import on_first_step, on_last_step, retention
from palmette.ops.kernels.recurrence import recurrence_chunked
from tests.parity.oracles import assert_parity, naive

BATCH, HEADS, KEY, VALUE = 2, 3, 8, 5
Leaves = dict[str, Tensor]
Pair = tuple[Tensor, Tensor]  # what ours gives, what theirs gives
Case = Callable[[Leaves], Pair]


def leaves(length: int, steps: int = 1) -> Leaves:
    """Raw inputs, out of which each case makes its gates; `steps` keys and values a token."""
    torch.manual_seed(length)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape).requires_grad_()

    lead = (BATCH, HEADS, length)
    written = (BATCH, HEADS, length * steps)
    return {
        "q": normal(*lead, KEY),
        "k": normal(*written, KEY),
        "v": normal(*written, VALUE),
        "head": normal(*lead, 1),  # -> a decay for each head
        "channel": normal(*lead, KEY),  # -> a decay for each channel
        "beta": normal(*written, 1),
        "rate": normal(*lead, KEY),
        "value_rate": normal(*lead, VALUE),
        "c": normal(*lead, KEY),  # -> a direction of its own
        "bonus": normal(HEADS, KEY),
        "share": normal(HEADS, 1, 1),
    }


def early(*tensors: Tensor) -> list[Tensor]:
    return [x.transpose(1, 2) for x in tensors]


def ours(*arguments: Tensor | None, bonus: Tensor | None = None) -> Tensor:
    q, *rest = arguments
    assert q is not None
    erased = len(rest) > 3
    output, _ = recurrence_chunked(
        q * KEY**-0.5,
        *rest,
        bonus=bonus,
        chunk=16 if erased else 32,  # type: ignore[arg-type]
    )
    return output


def unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def linear_attention(x: Leaves) -> Pair:
    q, k, v = x["q"], x["k"], x["v"]
    theirs = naive("linear_attn", "naive_recurrent_linear_attn")
    return ours(q, k, v), theirs(*early(q, k, v))[0].transpose(1, 2)


def normalised_linear_attention(x: Leaves) -> Pair:
    q, k, v = F.elu(x["q"]) + 1, F.elu(x["k"]) + 1, x["v"]
    theirs = naive("linear_attn", "naive_recurrent_linear_attn")

    o = ours(q, k, F.pad(v, (0, 1), value=1.0))
    wanted, _ = theirs(*early(q, k, v), normalize=True)
    return o[..., :-1] / o[..., -1:], wanted.transpose(1, 2)


def retnet(x: Leaves) -> Pair:
    q, k, v = x["q"], x["k"], x["v"]
    decay = retention(HEADS).view(1, -1, 1, 1).expand(1, -1, q.shape[2], 1)
    theirs = naive("retention", "naive_retention")
    return ours(q, k, v, decay), theirs(q, k, v)


def scalar_decay(form: str) -> Case:
    """Simple GLA, which is Mamba-2's state space with k = B, v = dt x, q = C."""

    def case(x: Leaves) -> Pair:
        q, k, v, g = x["q"], x["k"], x["v"], -F.softplus(x["head"])
        theirs = naive("simple_gla", form)
        wanted, _ = theirs(*early(q, k, v, g.squeeze(-1)))
        return ours(q, k, v, g), wanted.transpose(1, 2)

    return case


def gla(x: Leaves) -> Pair:
    q, k, v, g = x["q"], x["k"], x["v"], F.logsigmoid(x["channel"])
    theirs = naive("gla", "naive_recurrent_gla")
    return ours(q, k, v, g), theirs(*early(q, k, v, g))[0].transpose(1, 2)


def hgrn2(x: Leaves) -> Pair:
    """The key is what the forget gate, with a lower bound of 0.2, leaves."""
    forget = 0.2 + 0.8 * torch.sigmoid(x["channel"])
    q, k, v, g = x["q"], 1 - forget, x["v"], forget.log()
    theirs = naive("gla", "naive_recurrent_gla")
    return ours(q, k, v, g), theirs(*early(q, k, v, g))[0].transpose(1, 2)


def rwkv6(x: Leaves) -> Pair:
    q, k, v, g = x["q"], x["k"], x["v"], -x["channel"].clamp(max=1.6).exp()
    theirs = naive("rwkv6", "naive_recurrent_rwkv6", "recurrent_naive.py")
    u = x["bonus"]
    return ours(q, k, v, g, bonus=u), theirs(q, k, v, g, u)[0]


def rwkv7(x: Leaves) -> Pair:
    """RWKV-7 erases from the state before its decay; ours after it, so a is e^{-g} times theirs."""
    q, k, v, c = x["q"], x["k"], x["v"], unit(x["c"])
    g, rate = -0.6065 * torch.sigmoid(x["channel"]), torch.sigmoid(x["rate"])
    theirs = naive("generalized_delta_rule", "dplr_recurrence", "dplr/naive.py")
    return (
        ours(q, k, v, g, -c * (-g).exp(), rate * c),
        theirs(q, k, v, -c, rate * c, g)[0],
    )


def dplr(x: Leaves) -> Pair:
    """Diagonal plus low rank: two directions that have nothing to do with each other."""
    q, k, v = x["q"], x["k"], x["v"]
    alpha, beta, g = unit(x["c"]), 0.5 * unit(x["rate"]), -F.softplus(x["channel"])
    theirs = naive("generalized_delta_rule", "dplr_recurrence", "dplr/naive.py")
    return (
        ours(q, k, v, g, alpha * (-g).exp(), beta),
        theirs(q, k, v, alpha, beta, g)[0],
    )


def iplr(x: Leaves) -> Pair:
    """Identity plus low rank. The directions are opposite here, since nothing else shrinks."""
    q, k, v, c = x["q"], x["k"], x["v"], unit(x["c"])
    erased = torch.sigmoid(x["beta"]) * c
    theirs = naive("generalized_delta_rule", "iplr_recurrence", "iplr/naive.py")
    return ours(q, k, v, None, -c, erased), theirs(q, k, v, -c, erased)[0]


def delta_rule(x: Leaves) -> Pair:
    q, k, v, beta = x["q"], unit(x["k"]), x["v"], torch.sigmoid(x["beta"])
    theirs = naive("delta_rule", "delta_rule_recurrence")
    return ours(q, k, beta * v, None, -beta * k), theirs(q, k, v, beta)[0]


def delta_rule_beyond_one(x: Leaves) -> Pair:
    """Beta up to 2: eigenvalues down to -1."""
    q, k, v, beta = x["q"], unit(x["k"]), x["v"], 2.0 * torch.sigmoid(x["beta"])
    theirs = naive("delta_rule", "delta_rule_recurrence")
    return ours(q, k, beta * v, None, -beta * k), theirs(q, k, v, beta)[0]


def gated_delta_rule(x: Leaves) -> Pair:
    q, k, v, g = x["q"], unit(x["k"]), x["v"], -F.softplus(x["head"])
    beta = torch.sigmoid(x["beta"])
    theirs = naive("gated_delta_rule", "naive_recurrent_gated_delta_rule")
    inputs = early(q, k, v, beta.squeeze(-1), g.squeeze(-1))
    return (
        ours(q, k, beta * v, g, -beta * k),
        theirs(*inputs)[0].transpose(1, 2),
    )


def gated_delta_product(steps: int) -> Case:
    """Decays once a token, erases and writes `steps` times, then reads."""

    def case(x: Leaves) -> Pair:
        q, k, v, g = x["q"], unit(x["k"]), x["v"], -F.softplus(x["head"])
        beta = 2.0 * torch.sigmoid(x["beta"])
        theirs = naive("gated_delta_product", "naive_recurrent_gated_delta_product")
        inputs = early(q, k, v, g.squeeze(-1), beta.squeeze(-1))

        wanted, _ = theirs(*inputs, scale=KEY**-0.5, num_householder=steps)
        reads, decays = on_last_step(q, steps), on_first_step(g, steps)
        given = ours(reads, k, beta * v, decays, -beta * k)[:, :, steps - 1 :: steps]
        return given, wanted.transpose(1, 2)

    return case


def kda(x: Leaves) -> Pair:
    q, k, v, g = x["q"], unit(x["k"]), x["v"], -F.softplus(x["channel"])
    beta = torch.sigmoid(x["beta"])
    theirs = naive("kda", "naive_recurrent_kda")
    inputs = early(q, k, v, g, beta.squeeze(-1))
    return (
        ours(q, k, beta * v, g, -beta * k),
        theirs(*inputs)[0].transpose(1, 2),
    )


def gated_deltanet2(form: str) -> Case:
    def case(x: Leaves) -> Pair:
        q, k, v, g = x["q"], unit(x["k"]), x["v"], -F.softplus(x["channel"])
        rate, strength = torch.sigmoid(x["rate"]), torch.sigmoid(x["value_rate"])
        theirs = naive("gdn2", form)
        inputs = early(q, k, v, g, rate, strength)
        return (
            ours(q, k, strength * v, g, -rate * k),
            theirs(*inputs)[0].transpose(1, 2),
        )

    return case


def comba(form: str) -> Case:
    """Erases a share of what the delta rule does.

    fla's token loop erases after the decay, its chunked form before it: two recurrences, of which
    the language has the first.
    """

    def case(x: Leaves) -> Pair:
        q, k, v, g = x["q"], unit(x["k"]), x["v"], -F.softplus(x["head"])
        beta, erased = torch.sigmoid(x["beta"]), torch.sigmoid(x["share"]) * k
        theirs = naive("comba", form)
        a = -beta * erased if "recurrent" in form else -beta * erased * (-g).exp()

        q2, k2, v2, p2, g2, beta2 = early(q, k, v, erased, g.squeeze(-1), beta.squeeze(-1))
        wanted, _ = theirs(q2, k2, v2, p2, g=g2, beta=beta2)
        return ours(q, k, beta * v, g, a), wanted.transpose(1, 2)

    return case


CASES: dict[str, Case] = {
    "linear attention": linear_attention,
    "normalised linear attention": normalised_linear_attention,
    "retnet": retnet,
    "simple gla, token by token": scalar_decay("naive_recurrent_simple_gla"),
    "simple gla, in chunks": scalar_decay("naive_chunk_simple_gla"),
    "simple gla, all at once": scalar_decay("naive_parallel_simple_gla"),
    "gla": gla,
    "hgrn2": hgrn2,
    "rwkv6": rwkv6,
    "rwkv7": rwkv7,
    "dplr": dplr,
    "iplr": iplr,
    "delta rule": delta_rule,
    "delta rule with beta up to 2": delta_rule_beyond_one,
    "gated delta rule": gated_delta_rule,
    "gated delta product of 2": gated_delta_product(2),
    "gated delta product of 3": gated_delta_product(3),
    "kda": kda,
    "gated deltanet 2, token by token": gated_deltanet2("naive_recurrent_gdn2"),
    "gated deltanet 2, in chunks": gated_deltanet2("naive_chunk_gdn2"),
    "comba, token by token": comba("naive_recurrent_comba"),
    "comba, in chunks": comba("naive_chunk_comba"),
}


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("name", CASES)
def test_chunks_have_the_values_and_gradients_of_the_published_loop(name: str, length: int) -> None:
    steps = int(name[-1]) if name.startswith("gated delta product") else 1
    x = leaves(length, steps)
    given, wanted = CASES[name](x)
    slopes = torch.autograd.grad(
        wanted.sum(), list(x.values()), retain_graph=True, allow_unused=True
    )
    used = {
        n: leaf for (n, leaf), slope in zip(x.items(), slopes, strict=True) if slope is not None
    }
    assert {"q", "v"} <= set(used)
    assert_parity(given, wanted, used)
