"""The whole GPT-2 against that of transformers, run with the very same weights.

Theirs is called with functions of our weights, so gradients are compared in ours. Ours is built by
the atlas' genome. Three things are said differently: ours reads sqrt(d) times the embedding, so
theirs has an untied table of that size; our keys have no bias, so theirs are zero; and theirs is
told to use the exact gelu.
"""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from transformers import GPT2Config, GPT2LMHeadModel

from palmette.model import atlas
from palmette.model.build import build_at
from palmette.ops._base import Place
from tests.parity.oracles import assert_parity

PLACE = Place(width=24, depth=3, hidden=1.0, vocabulary=61, context=100)


def theirs(attention: str) -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=PLACE.vocabulary,
        n_positions=PLACE.context,
        n_embd=PLACE.width,
        n_layer=PLACE.depth,
        n_head=4,
        activation_function="gelu",
        tie_word_embeddings=False,
        attn_implementation=attention,
        use_cache=False,
    )
    return GPT2LMHeadModel(config).eval()


def as_theirs(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under their names; their matrices stand transposed."""
    weights = {
        "transformer.wte.weight": ours["embedding.weight"] * PLACE.width**0.5,
        "transformer.wpe.weight": ours["positions.weight"],
        "transformer.ln_f.weight": ours["norm.weight"],
        "transformer.ln_f.bias": ours["norm.bias"],
        "lm_head.weight": ours["embedding.weight"],
    }
    for layer in range(PLACE.depth):
        name = f"transformer.h.{layer}"
        for number, part in enumerate(("attn", "mlp")):
            block = f"core.layers.{2 * layer + number}"
            for kind in ("weight", "bias"):
                weights[f"{name}.ln_{number + 1}.{kind}"] = ours[f"{block}.norm.{kind}"]
            maps = {"c_proj": "out"} if part == "attn" else {"c_fc": "up", "c_proj": "down"}
            for their, our in maps.items():
                weights[f"{name}.{part}.{their}.weight"] = ours[f"{block}.op.{our}.weight"].T
                weights[f"{name}.{part}.{their}.bias"] = ours[f"{block}.op.{our}.bias"]
        block = f"core.layers.{2 * layer}.op"
        three = [ours[f"{block}.{part}.weight"] for part in ("query", "key", "value")]
        q, v = ours[f"{block}.query.bias"], ours[f"{block}.value.bias"]
        weights[f"{name}.attn.c_attn.weight"] = torch.cat(three).T
        weights[f"{name}.attn.c_attn.bias"] = torch.cat((q, torch.zeros_like(q), v))
    return weights


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_logits_and_gradients_are_those_of_transformers(attention, length):
    torch.manual_seed(0)
    model = build_at(atlas.load("gpt2"), PLACE, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no scale or bias is 1 or 0
            parameter.add_(0.05 * torch.randn(parameter.shape))
    weights = dict(model.named_parameters())
    oracle = theirs(attention)
    renamed = as_theirs(weights)
    assert set(renamed) == {name for name, _ in oracle.named_parameters()}
    ids = torch.randint(PLACE.vocabulary, (2, length))
    wanted = functional_call(oracle, renamed, (ids,)).logits
    assert_parity(model(ids), wanted, weights)
