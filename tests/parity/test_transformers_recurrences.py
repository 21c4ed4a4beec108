"""Our recurrent layers against those of transformers, run with the very same weights.

Each `as_ours` says how their weights are arranged in our module. They stay theirs: our module is
called with functions of them, so that gradients are compared where they were published.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import Mamba2Config, OlmoHybridConfig, Qwen3NextConfig
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
from transformers.models.olmo_hybrid.modeling_olmo_hybrid import OlmoHybridGatedDeltaNet
from transformers.models.qwen3_next.modeling_qwen3_next import (
    Qwen3NextGatedDeltaNet,
    torch_chunk_gated_delta_rule,
)

from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.kernels.recurrence import recurrence_chunked
from tests.parity.oracles import assert_near, assert_parity

WIDTH, HEADS, KEY, VALUE = 20, 4, 6, 10
Weights = dict[str, Tensor]


def module(**knobs: object) -> LinearRecurrence:
    """Ours, with the knobs that these layers share."""
    usual: dict[str, object] = {
        "width": WIDTH,
        "heads": HEADS,
        "key_heads": HEADS,
        "key_size": KEY,
        "value_size": VALUE,
        "rank": 16,
        "conv": 4,
        "conv_activation": "silu",
        "bias": False,
        "feature": "identity",
        "rotary": False,
        "decay": "scalar",
        "write": "raw",
        "erase": "beta",
        "householders": 1,
        "read": "inclusive",
        "skip": False,
        "out_norm": "rms",
        "out_gate": "silu",
    }
    return LinearRecurrence(**(usual | knobs))  # type: ignore[arg-type]


def shaken(theirs: nn.Module) -> nn.Module:
    """Their layer with weights of which none is 0 or 1 throughout."""
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    return theirs


def assert_same_layer(
    ours: LinearRecurrence,
    weights: Weights,
    theirs: nn.Module,
    length: int,
    relative: float = 1e-5,
) -> None:
    assert {n: w.shape for n, w in weights.items()} == {
        n: w.shape for n, w in ours.named_parameters()
    }
    x = torch.randn(2, length, WIDTH).requires_grad_()
    leaves = {"x": x, **dict(theirs.named_parameters())}
    assert_parity(functional_call(ours, weights, x), theirs(x), leaves, relative)


def mamba2_as_ours(theirs: Mamba2Mixer) -> Weights:
    """Theirs projects to z, x, B, C, dt; ours to q = C, k = B, v = x, gate = z, dt."""
    inner, state = HEADS * VALUE, KEY
    z, x, b, c, dt = theirs.in_proj.weight.split([inner, inner, state, state, HEADS])
    taps_x, taps_b, taps_c = theirs.conv1d.weight.squeeze(1).split([inner, state, state])
    bias_x, bias_b, bias_c = theirs.conv1d.bias.split([inner, state, state])
    return {
        "project.weight": torch.cat([c, b, x, z, dt]),
        "taps": torch.cat([taps_c, taps_b, taps_x]),
        "bias": torch.cat([bias_c, bias_b, bias_x]),
        "A_log": theirs.A_log,
        "dt_bias": theirs.dt_bias,
        "skip": theirs.D,
        "out_scale": theirs.norm.weight,
        "out.weight": theirs.out_proj.weight,
    }


@pytest.mark.parametrize("length", [63, 100])
def test_mamba2_is_their_mixer(length: int) -> None:
    """With one group of B and C; with several theirs also norms each group by itself.

    Where theirs starts A at 1, 2, … H, the published code and ours draw it from [1, 16].
    """
    torch.manual_seed(length)
    config = Mamba2Config(
        hidden_size=WIDTH,
        num_heads=HEADS,
        head_dim=VALUE,
        expand=2,
        state_size=KEY,
        n_groups=1,
        conv_kernel=4,
        chunk_size=32,
        num_hidden_layers=1,
    )
    theirs = Mamba2Mixer(config, layer_idx=0)
    assert theirs.A_log.exp().tolist() == pytest.approx([1, 2, 3, 4])
    ours = module(key_heads=1, bias=True, write="dt", erase="none", skip=True, out_norm="rms_after")
    assert_same_layer(ours, mamba2_as_ours(shaken(theirs)), theirs, length)


def qwen3_next_as_ours(theirs: Qwen3NextGatedDeltaNet, key_heads: int) -> Weights:
    """Theirs keeps q, k, v, z of a key head together, and beta and a; ours all q, then all k, …"""
    shared = HEADS // key_heads  # value heads to a key head
    by_head = theirs.in_proj_qkvz.weight.view(key_heads, -1, WIDTH)
    q, k, v, z = by_head.split([KEY, KEY, shared * VALUE, shared * VALUE], 1)
    beta, a = theirs.in_proj_ba.weight.view(key_heads, -1, WIDTH).split([shared, shared], 1)
    return {
        "project.weight": torch.cat([part.flatten(0, 1) for part in (q, k, v, z, beta, a)]),
        "taps": theirs.conv1d.weight.squeeze(1),
        "A_log": theirs.A_log,
        "dt_bias": theirs.dt_bias,
        "out_scale": theirs.norm.weight,
        "out.weight": theirs.out_proj.weight,
    }


@pytest.mark.parametrize("key_heads", [HEADS, 1])
@pytest.mark.parametrize("length", [63, 100])
def test_gated_deltanet_is_that_of_qwen3_next(length: int, key_heads: int) -> None:
    """With as many key heads as value heads, or one; ours has no number between.

    Twice the usual tolerance: the gradients of the decay rates, sums that nearly cancel, are up to
    1.1e-5 off their value in fp64 in their form, 2.5e-6 in ours.
    """
    torch.manual_seed(length)
    config = Qwen3NextConfig(
        hidden_size=WIDTH,
        linear_num_key_heads=key_heads,
        linear_num_value_heads=HEADS,
        linear_key_head_dim=KEY,
        linear_value_head_dim=VALUE,
        linear_conv_kernel_dim=4,
        num_hidden_layers=1,
        rms_norm_eps=1e-5,  # ours; theirs is 1e-6
    )
    theirs = shaken(Qwen3NextGatedDeltaNet(config, layer_idx=0))
    ours = module(key_heads=key_heads)
    assert_same_layer(ours, qwen3_next_as_ours(theirs, key_heads), theirs, length, 2e-5)


def olmo_hybrid_as_ours(theirs: OlmoHybridGatedDeltaNet) -> Weights:
    """One map for each part; ours is all of them in one."""
    maps = (theirs.q_proj, theirs.k_proj, theirs.v_proj, theirs.g_proj, theirs.b_proj)
    return {
        "project.weight": torch.cat([one.weight for one in (*maps, theirs.a_proj)]),
        "taps": theirs.conv1d.weight.squeeze(1),
        "A_log": theirs.A_log,
        "dt_bias": theirs.dt_bias,
        "out_scale": theirs.o_norm.weight,
        "out.weight": theirs.o_proj.weight,
    }


@pytest.mark.parametrize("negative", [True, False])
@pytest.mark.parametrize("length", [63, 100])
def test_gated_deltanet_is_that_of_olmo_hybrid(length: int, negative: bool) -> None:
    """Negative eigenvalues are their default: beta up to 2."""
    torch.manual_seed(length)
    config = OlmoHybridConfig(
        hidden_size=WIDTH,
        linear_num_key_heads=HEADS,
        linear_num_value_heads=HEADS,
        linear_key_head_dim=KEY,
        linear_value_head_dim=VALUE,
        linear_conv_kernel_dim=4,
        linear_allow_neg_eigval=negative,
        num_hidden_layers=2,
        layer_types=["linear_attention", "full_attention"],
    )
    theirs = shaken(OlmoHybridGatedDeltaNet(config, layer_idx=0))
    ours = module(erase="beta2" if negative else "beta")
    assert_same_layer(ours, olmo_hybrid_as_ours(theirs), theirs, length)


@pytest.mark.parametrize("length", [63, 100])
def test_k1_is_their_chunked_gated_delta_rule(length: int) -> None:
    torch.manual_seed(length)
    shapes = {"q": KEY, "k": KEY, "v": VALUE, "g": 1, "beta": 1}
    leaves = {n: torch.randn(2, HEADS, length, s).requires_grad_() for n, s in shapes.items()}
    q, k, v, raw_g, raw_beta = leaves.values()
    q, k = (x * torch.rsqrt(x.square().sum(-1, keepdim=True) + 1e-6) for x in (q, k))
    g, beta = -nn.functional.softplus(raw_g), torch.sigmoid(raw_beta)
    given, state = recurrence_chunked(q * KEY**-0.5, k, beta * v, g, -beta * k, chunk=16)
    early = [x.transpose(1, 2) for x in (leaves["q"], leaves["k"], v, g, beta)]
    wanted, wanted_state = torch_chunk_gated_delta_rule(
        *early[:3],
        g=early[3].squeeze(-1),
        beta=early[4].squeeze(-1),
        output_final_state=True,
        use_qk_l2norm_in_kernel=True,
    )
    assert_parity(given, wanted.transpose(1, 2), leaves)
    assert_near("the state", state, wanted_state, 1e-5)
