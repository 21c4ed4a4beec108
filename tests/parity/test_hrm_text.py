"""HRM-Text against transformers, run with the very same weights.

Theirs is called with functions of our weights, so gradients are compared in ours: the weights have
more than one way to the output, and which of them carry a gradient is a part of the model. Two
things are said differently, as for Llama: the scale of the embedding, and the order of the rows of
queries and keys. Their norms have no scales, so ours stand at 1 and are left out; the norm that we
have before the head, of what is normed already, is taken out.
"""

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import HrmTextConfig, HrmTextForCausalLM

import palmette
from palmette.model import atlas
from palmette.model.build import build_at
from palmette.ops._base import Place
from palmette.ops._norm import RmsNorm
from tests.parity.oracles import assert_near, assert_parity

PLACE = Place(width=24, depth=2, hidden=1.0, vocabulary=61, context=100)
HEAD = 6


def theirs(attention: str, slow_cycles: int, fast_cycles: int) -> HrmTextForCausalLM:
    config = HrmTextConfig(
        vocab_size=PLACE.vocabulary,
        hidden_size=PLACE.width,
        intermediate_size=PLACE.hidden_width(8 / 3),
        num_hidden_layers=PLACE.depth,
        num_attention_heads=4,
        head_dim=HEAD,
        rms_norm_eps=1e-6,
        embedding_scale=1.0,
        H_cycles=slow_cycles,
        L_cycles=fast_cycles,
        prefix_lm=False,
        use_cache=False,
        attn_implementation=attention,
    )
    return HrmTextForCausalLM(config).eval()


def ours(slow_cycles: int, fast_cycles: int) -> nn.Module:
    text = str(atlas.load("hrm_text"))
    if (slow_cycles, fast_cycles) != (2, 3):
        text = text.replace(
            "fast_cycles=3", f"slow_cycles={slow_cycles}, fast_cycles={fast_cycles}"
        )
    model = build_at(palmette.parse(text), PLACE, seed=0)
    model.norm = nn.Identity()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith("norm.weight"):
                parameter.add_(0.05 * torch.randn(parameter.shape))
    for module in model.modules():
        if isinstance(module, RmsNorm):
            module.epsilon = 1e-6
    return model


def in_their_order(weight: Tensor) -> Tensor:
    """Within each head the even features, then the odd ones."""
    heads = weight.view(-1, HEAD, weight.shape[1])
    return torch.cat((heads[:, 0::2], heads[:, 1::2]), 1).reshape(weight.shape)


def as_theirs(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under their names."""
    renamed = {
        "model.embed_tokens.weight": weights["embedding.weight"] * PLACE.width**0.5,
        "model.z_L_init": torch.zeros(PLACE.width),
        "lm_head.weight": weights["embedding.weight"],
    }
    for number, net in enumerate(("H", "L")):
        for layer in range(PLACE.depth):
            name = f"model.{net}_module.layers.{layer}"
            mixer, channels = (f"core.nets.{number}.layers.{2 * layer + n}.op" for n in range(2))
            named = {"q": "query", "k": "key", "v": "value", "o": "out", "gate": "gate"}
            for their, our in named.items():
                weight = weights[f"{mixer}.{our}.weight"]
                weight = in_their_order(weight) if their in ("q", "k") else weight
                renamed[f"{name}.self_attn.{their}_proj.weight"] = weight
            for part in ("gate", "up", "down"):
                renamed[f"{name}.mlp.{part}_proj.weight"] = weights[f"{channels}.{part}.weight"]
    return renamed


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("cycles", [(2, 3), (3, 2), (1, 4)], ids=str)
def test_logits_and_gradients_are_those_of_transformers(cycles, attention, length):
    torch.manual_seed(0)
    model = ours(*cycles)
    weights = {n: p for n, p in model.named_parameters() if not n.endswith("norm.weight")}
    oracle = theirs(attention, *cycles)
    renamed = as_theirs(weights)
    assert set(renamed) == {name for name, _ in oracle.named_parameters()}
    ids = torch.randint(PLACE.vocabulary, (2, length))
    wanted = functional_call(oracle, renamed, (ids,)).logits
    assert_parity(model(ids), wanted, weights)


def test_another_gradient_would_be_noticed():
    torch.manual_seed(0)
    model = ours(2, 3)
    weights = {n: p for n, p in model.named_parameters() if not n.endswith("norm.weight")}
    oracle = theirs("eager", 2, 3)
    ids = torch.randint(PLACE.vocabulary, (2, 63))
    wanted = functional_call(oracle, as_theirs(weights), (ids,)).logits
    model.core.calls = [(slow, True) for slow, _ in model.core.calls]
    assert_near("the values", model(ids), wanted, 1e-5)
    with pytest.raises(AssertionError, match=r"the gradient in .* off by"):
        assert_parity(model(ids), wanted, weights)


def test_decoding_gives_what_their_cache_gives():
    """Each call of a net has keys and values of its own, in theirs and in ours."""
    torch.manual_seed(0)
    model = ours(2, 3)
    weights = {n: p for n, p in model.named_parameters() if not n.endswith("norm.weight")}
    oracle = theirs("eager", 2, 3)
    ids = torch.randint(PLACE.vocabulary, (2, 63))
    cache, state = None, model.init_state(2)
    with torch.no_grad():
        for token in ids.T:
            given = {"past_key_values": cache, "use_cache": True}
            step = functional_call(oracle, as_theirs(weights), (token[:, None],), given)
            cache = step.past_key_values
            logits, state = model.step(token, state)
            assert_near("the logits", logits, step.logits[:, 0], 1e-5)
