"""The whole Llama against that of transformers, run with the very same weights.

Theirs is called with functions of our weights, so gradients are compared in ours. Ours is built by
the atlas' genome, and once with shared keys. Two things are said differently: ours reads sqrt(d)
times the embedding, so theirs has an untied table of that size; and we turn features 2i and 2i + 1
together where they turn i and i + k/2, so the rows of queries and keys are put in their order.
"""

import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from transformers import LlamaConfig, LlamaForCausalLM

import palmette
from palmette.model import atlas
from palmette.model.build import build_at
from palmette.ops._base import Place
from tests.parity.oracles import assert_parity

PLACE = Place(width=24, depth=3, hidden=1.0, vocabulary=61, context=100)
HEAD = 6
GENOMES = {
    "the atlas' llama": (str(atlas.load("llama")), 4),
    "shared keys": ("stack(pre(attn(positions='rope', kv_heads=1/2)), pre(glu()))", 2),
}


def theirs(attention: str, kv_heads: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=PLACE.vocabulary,
        hidden_size=PLACE.width,
        intermediate_size=PLACE.hidden_width(8 / 3),
        num_hidden_layers=PLACE.depth,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
        attn_implementation=attention,
        use_cache=False,
    )
    return LlamaForCausalLM(config).eval()


def in_their_order(weight: Tensor) -> Tensor:
    """Within each head the even features, then the odd ones."""
    heads = weight.view(-1, HEAD, weight.shape[1])
    return torch.cat((heads[:, 0::2], heads[:, 1::2]), 1).reshape(weight.shape)


def as_theirs(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under their names."""
    weights = {
        "model.embed_tokens.weight": ours["embedding.weight"] * PLACE.width**0.5,
        "model.norm.weight": ours["norm.weight"],
        "lm_head.weight": ours["embedding.weight"],
    }
    for layer in range(PLACE.depth):
        name = f"model.layers.{layer}"
        mixer, channels = (f"core.layers.{2 * layer + number}" for number in range(2))
        weights[f"{name}.input_layernorm.weight"] = ours[f"{mixer}.norm.weight"]
        weights[f"{name}.post_attention_layernorm.weight"] = ours[f"{channels}.norm.weight"]
        for their, our in {"q": "query", "k": "key", "v": "value", "o": "out"}.items():
            weight = ours[f"{mixer}.op.{our}.weight"]
            weight = in_their_order(weight) if their in "qk" else weight
            weights[f"{name}.self_attn.{their}_proj.weight"] = weight
        for part in ("gate", "up", "down"):
            weights[f"{name}.mlp.{part}_proj.weight"] = ours[f"{channels}.op.{part}.weight"]
    return weights


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("genome", GENOMES)
def test_logits_and_gradients_are_those_of_transformers(genome, attention, length):
    torch.manual_seed(0)
    text, kv_heads = GENOMES[genome]
    model = build_at(palmette.parse(text), PLACE, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no scale is 1
            parameter.add_(0.05 * torch.randn(parameter.shape))
    weights = dict(model.named_parameters())
    oracle = theirs(attention, kv_heads)
    renamed = as_theirs(weights)
    assert set(renamed) == {name for name, _ in oracle.named_parameters()}
    ids = torch.randint(PLACE.vocabulary, (2, length))
    wanted = functional_call(oracle, renamed, (ids,)).logits
    assert_parity(model(ids), wanted, weights)
