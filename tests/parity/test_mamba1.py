"""`scan` against transformers: Mamba's mixer and RecurrentGemma's recurrent block (Griffin)."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from torch import Tensor, nn
from transformers import MambaConfig, RecurrentGemmaConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.recurrent_gemma.modeling_recurrent_gemma import (
    RecurrentGemmaRecurrentBlock,
)

from palmette.model.build import instantiate
from palmette.ops._base import Place
from palmette.ops.scan import DiagonalScan, Scan
from tests.parity.oracles import assert_near

WIDTH = 24


def built(node: Scan) -> DiagonalScan:
    place = Place(width=WIDTH, depth=1, hidden=1.0, vocabulary=256, context=128)
    module = instantiate(node.plan(place))
    assert isinstance(module, DiagonalScan)
    return module


def shaken(module: nn.Module) -> None:
    """No weight left at a value that hides it, such as 0 or 1."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


@pytest.mark.parametrize("length", [63, 100])
def test_selective_gates_are_the_mixer_of_mamba(length: int) -> None:
    torch.manual_seed(0)
    config = MambaConfig(hidden_size=WIDTH, num_hidden_layers=1, time_step_rank=2)
    theirs = MambaMixer(config, layer_idx=0)
    shaken(theirs)
    ours = built(Scan(gates="selective", expand=Fraction(2), bias=True, skip=True))
    pairs = {
        ours.project.weight: theirs.in_proj.weight,
        ours.taps: theirs.conv1d.weight,
        ours.bias: theirs.conv1d.bias,
        ours.gates.project.weight: theirs.x_proj.weight,
        ours.gates.step_up: theirs.dt_proj.weight,
        ours.gates.step_bias: theirs.dt_proj.bias,
        ours.gates.A_log: theirs.A_log,
        ours.skip: theirs.D,
        ours.out.weight: theirs.out_proj.weight,
    }
    compare(ours, theirs, pairs, length, theirs)


@pytest.mark.parametrize("length", [63, 100])
def test_rglru_gates_are_the_recurrent_block_of_griffin(length: int) -> None:
    """Positions begin at 1: at 0 that code takes the first input whole, which the paper does not.

    Its three linear maps have biases; ours have none, so those are 0.
    """
    torch.manual_seed(0)
    config = RecurrentGemmaConfig(
        hidden_size=WIDTH,
        lru_width=32,
        num_attention_heads=4,
        num_hidden_layers=1,
        hidden_activation="gelu",
    )
    theirs = RecurrentGemmaRecurrentBlock(config, layer_idx=0)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            parameter.copy_(0.3 * torch.randn_like(parameter))
            if name.startswith("linear") and name.endswith("bias"):
                parameter.zero_()
    ours = built(
        Scan(
            gates="rglru",
            expand=Fraction(4, 3),
            bias=True,
            activation="identity",
            out_gate="gelu",
        )
    )
    lru = theirs.rg_lru
    pairs = {ours.taps: theirs.conv_1d.weight, ours.bias: theirs.conv_1d.bias}
    pairs |= {ours.out.weight: theirs.linear_out.weight, ours.gates.rate: lru.recurrent_param}
    with torch.no_grad():
        ours.project.weight.copy_(torch.cat([theirs.linear_x.weight, theirs.linear_y.weight]))
        ours.gates.weight.copy_(torch.cat([lru.recurrent_gate_weight, lru.input_gate_weight], -1))
        biases = [lru.recurrent_gate_bias.flatten(), lru.input_gate_bias.flatten()]
        ours.gates.bias.copy_(torch.stack(biases))
    positions = torch.arange(1, length + 1).expand(2, -1)
    compare(
        ours,
        theirs,
        pairs,
        length,
        lambda x: theirs(x, positions, attention_mask=None, use_cache=False)[0],
    )
    apart = {  # what is one matrix here and two there
        "W_u and W_g": (ours.project.weight, [theirs.linear_x.weight, theirs.linear_y.weight], 0),
        "W_r and W_i": (
            ours.gates.weight,
            [lru.recurrent_gate_weight, lru.input_gate_weight],
            -1,
        ),
        "biases": (ours.gates.bias, [lru.recurrent_gate_bias, lru.input_gate_bias], 0),
    }
    for name, (mine, others, axis) in apart.items():
        joined = torch.cat([other.grad for other in others], axis).reshape(mine.shape)
        assert_near(f"the gradient in {name}", mine.grad, joined, 1e-5)


def compare(
    ours: nn.Module,
    theirs: nn.Module,
    pairs: dict[nn.Parameter, nn.Parameter],
    length: int,
    run_theirs: Callable[[Tensor], Tensor],
) -> None:
    """Copies the weights, then holds outputs and all gradients together."""
    with torch.no_grad():
        for mine, other in pairs.items():
            mine.copy_(other.reshape(mine.shape))
    x = torch.randn(2, length, WIDTH)
    mine, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    y, wanted = ours(mine), run_theirs(other)
    assert_near("the values", y, wanted, 1e-5)
    weights = torch.randn_like(y)
    (y * weights).sum().backward()
    (wanted * weights).sum().backward()
    assert_near("the gradient in x", mine.grad, other.grad, 1e-5)
    names = {parameter: name for name, parameter in theirs.named_parameters()}
    for ours_one, theirs_one in pairs.items():
        slope = theirs_one.grad.reshape(ours_one.shape)
        assert_near(f"the gradient in {names[theirs_one]}", ours_one.grad, slope, 1e-5)
