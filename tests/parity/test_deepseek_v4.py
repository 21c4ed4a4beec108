"""DeepSeek-V4's parts against transformers' `deepseek_v4`, weights copied, in float32.

All of it agrees, outputs and gradients, but for three things that stand where they are tested:
the indexer gets no gradient there and none here (in evaluation; its training is ours), ties between
scores go to the newest entry here and to wherever `topk` finds them there, and the experts' clamp
and the routed scaling factor, which are not here, are set so that they do nothing.
"""

import pytest
import torch
from torch import nn
from transformers.masking_utils import create_sliding_window_causal_mask
from transformers.models.deepseek_v4 import modeling_deepseek_v4 as theirs
from transformers.models.deepseek_v4.configuration_deepseek_v4 import DeepseekV4Config

from palmette.ops._compressed_parts import Pool, Selector
from palmette.ops._connections import Collapse, SinkhornConnection
from palmette.ops._experts import hashed_experts
from palmette.ops._norm import RmsNorm
from palmette.ops.compressed import CompressedAttention
from palmette.ops.glu import GatedFeedForward
from palmette.ops.moe import MixtureOfExperts
from palmette.ops.streams import HyperStreams, read, written
from tests.parity.oracles import assert_near

WIDTH, HEADS, SIZE, RANK, GROUPS, GROUP_RANK = 40, 4, 16, 24, 2, 12
WINDOW, INDEX_HEADS, INDEX_SIZE, STREAMS, EXPERTS, VOCABULARY = 16, 8, 12, 4, 8, 50
KINDS = {
    "sliding": "sliding_attention",
    "heavy": "heavily_compressed_attention",
    "sparse": "compressed_sparse_attention",
}


def config(*layers, top=4, mlps=None):
    """A small model; every norm with the epsilon that we use."""
    made = DeepseekV4Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        moe_intermediate_size=14,
        num_hidden_layers=len(layers),
        num_attention_heads=HEADS,
        head_dim=SIZE,
        partial_rotary_factor=0.5,
        q_lora_rank=RANK,
        o_groups=GROUPS,
        o_lora_rank=GROUP_RANK,
        sliding_window=WINDOW,
        compress_rates={KINDS["sparse"]: 4, KINDS["heavy"]: 16},
        layer_types=[KINDS[layer] for layer in layers],
        mlp_layer_types=list(mlps or ["moe"] * len(layers)),
        index_n_heads=INDEX_HEADS,
        index_head_dim=INDEX_SIZE,
        index_topk=top,
        n_routed_experts=EXPERTS,
        num_experts_per_tok=3,
        routed_scaling_factor=1.0,
        swiglu_limit=1e9,
        hc_mult=STREAMS,
        rms_norm_eps=1e-5,
    )
    made._attn_implementation = "eager"
    made._experts_implementation = "eager"
    return made


def shaken(module, seed=0):
    """Every weight random, scales around one, so that nothing is at a start that hides it."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            noise = torch.randn(weight.shape, generator=generator)
            if "norm" in name or name.endswith("scale"):
                weight.copy_(1 + 0.1 * noise)
            else:
                weight.copy_(noise * (weight.shape[-1] ** -0.5 if weight.ndim > 1 else 0.5))
    return module.eval()


def features(length, *shape):
    generator = torch.Generator().manual_seed(length)
    return torch.randn(2, length, *shape, WIDTH, generator=generator)


def our_attention(kind, base, top):
    heads = {"tokens": 4, "overlap": True} if kind == "sparse" else {"tokens": 16, "overlap": False}

    def pool(size):
        return Pool(width=WIDTH, size=size, rotated=8, base=base, **heads)

    chooses = kind == "sparse"
    selector = {"width": WIDTH, "rank": RANK, "heads": INDEX_HEADS, "size": INDEX_SIZE, "top": top}
    return CompressedAttention(
        width=WIDTH,
        heads=HEADS,
        head_size=SIZE,
        rank=RANK,
        groups=GROUPS,
        group_rank=GROUP_RANK,
        window=WINDOW,
        rotated=8,
        base=base,
        pool=None if kind == "sliding" else pool(SIZE),
        selector=Selector(**selector, learns="loss", pool=pool(INDEX_SIZE)) if chooses else None,
    ).eval()


ATTENTION = {
    "query_down": "q_a_proj",
    "query_norm": "q_a_norm",
    "query_up": "q_b_proj",
    "token": "kv_proj",
    "token_norm": "kv_norm",
    "out": "o_b_proj",
    "sink": "sinks",
    "group": "o_a_proj.weight",
    "pool.value": "compressor.kv_proj",
    "pool.gate": "compressor.gate_proj",
    "pool.bias": "compressor.position_bias",
    "pool.norm": "compressor.kv_norm",
    "selector.query": "compressor.indexer.q_b_proj",
    "selector.weight": "compressor.indexer.scorer.weights_proj",
    "selector.pool.value": "compressor.indexer.kv_proj",
    "selector.pool.gate": "compressor.indexer.gate_proj",
    "selector.pool.bias": "compressor.indexer.position_bias",
    "selector.pool.norm": "compressor.indexer.kv_norm",
}
MIXTURE = {
    "router": "gate.weight",
    "up": "experts.gate_up_proj",
    "down": "experts.down_proj",
    "shared.gate": "shared_experts.gate_proj",
    "shared.up": "shared_experts.up_proj",
    "shared.down": "shared_experts.down_proj",
}
CONNECTION = {"weight": "fn", "base": "base", "scale": "scale"}
SAME = {"weight": "weight"}
COLLAPSE = {"weight": "hc_fn", "base": "hc_base", "scale": "hc_scale"}


def partner(name, names):
    """Their name of a parameter of ours."""
    if name in names:
        return names[name]
    stem, _, last = name.rpartition(".")
    return f"{names[stem]}.{last}"


def as_ours(name, theirs_tensor):
    """Their grouped map [g r, f] is ours [g, f, r]."""
    if name.endswith("group"):
        return theirs_tensor.view(GROUPS, GROUP_RANK, -1).mT
    return theirs_tensor


def copy(ours, their, names):
    """Copies every one of our parameters from theirs."""
    held = dict(their.named_parameters())
    with torch.no_grad():
        for name, weight in ours.named_parameters():
            value = as_ours(name, held[partner(name, names)])
            # Where the streams are copies we mix nothing, so the maps of the mixture are left out.
            weight.copy_(value[: len(weight)] if value.ndim else value)


def same_gradients(ours, their, names, tolerance=1e-5, ungraded=()):
    """Every parameter of ours has their gradient; `ungraded` ones have none on either side."""
    held = dict(their.named_parameters())
    for name, weight in ours.named_parameters():
        other = held[partner(name, names)].grad
        if name.startswith(ungraded or ("\0",)):
            assert weight.grad is None, name
            assert other is None, name
            continue
        assert weight.grad is not None, name
        assert_near(name, weight.grad, as_ours(name, other)[: len(weight)], tolerance)


def their_attention(made, length, x):
    """Their first layer's attention with all that their model gives it."""
    layer = shaken(theirs.DeepseekV4Attention(made, 0))
    places = torch.arange(length)[None]
    rotary = theirs.DeepseekV4RotaryEmbedding(made)
    turns = {kind: rotary(x, places, layer_type=kind) for kind in ("main", "compress")}
    mask = create_sliding_window_causal_mask(
        config=made, inputs_embeds=x, attention_mask=None, past_key_values=None, position_ids=places
    )
    return layer, lambda inputs: layer(inputs, turns, places, mask)[0]


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize(
    ("kind", "top"), [("sliding", 4), ("heavy", 4), ("sparse", 25), ("sparse", 4)]
)
def test_attention_is_theirs(kind, top, length):
    """With few entries chosen too: of eight ReLUs one is positive, so here no scores are tied."""
    x = features(length)
    their, forward = their_attention(config(kind, top=top), length, x)
    ours = our_attention(kind, 10_000 if kind == "sliding" else 160_000, top)
    copy(ours, their, ATTENTION)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    wanted, got = forward(one), ours(two)
    assert_near("the output", got, wanted, 1e-5)
    slope = features(length + 1)[:, :length]
    (wanted * slope).sum().backward()
    (got * slope).sum().backward()
    assert_near("the input's gradient", two.grad, one.grad, 1e-5)
    same_gradients(ours, their, ATTENTION, ungraded=("selector.",))


def test_a_tie_goes_to_the_newest_entry_here():
    """Theirs goes where `topk` happens to look, which a longer text changes.

    A selector whose scores are all zero chooses the newest entries whatever comes after.
    """
    ours = our_attention("sparse", 160_000, 4)
    with torch.no_grad():
        ours.selector.weight.weight.zero_()
    x = features(100)
    latent, _ = ours._queries(x, 0)
    seen = torch.arange(25) < (torch.arange(1, 101) // 4)[:, None]
    _, bias = ours.selector(x, latent, seen)
    chosen = bias[0, 62] == 0
    assert chosen.nonzero().flatten().tolist() == [11, 12, 13, 14]


@pytest.mark.parametrize("length", [63, 100])
def test_hyper_connections_are_theirs(length):
    their = shaken(theirs.DeepseekV4HyperConnection(config("sliding")))
    ours = SinkhornConnection(width=WIDTH, streams=STREAMS, number=1, mixes=True)
    copy(ours, their, CONNECTION)
    h, y = features(length, STREAMS), features(length + 1)[:, :length]
    one, two = h.clone().requires_grad_(), h.clone().requires_grad_()
    post, comb, collapsed = their(one)
    wanted = post.unsqueeze(-1) * y.unsqueeze(-2) + comb.mT @ one
    weights = ours(two)
    assert_near("what is read", read(two, weights), collapsed, 1e-5)
    got = written(two, weights, y)
    assert_near("the streams", got, wanted, 1e-5)
    slope = features(length + 2, STREAMS)[:, :length]
    ((wanted * slope).sum() + (collapsed * y).sum()).backward()
    ((got * slope).sum() + (read(two, weights) * y).sum()).backward()
    assert_near("the streams' gradient", two.grad, one.grad, 1e-5)
    same_gradients(ours, their, CONNECTION)


@pytest.mark.parametrize("length", [63, 100])
def test_the_last_collapse_is_theirs(length):
    their = shaken(theirs.DeepseekV4HyperHead(config("sliding")))
    ours = Collapse(width=WIDTH, streams=STREAMS)
    copy(ours, their, COLLAPSE)
    h = features(length, STREAMS)
    one, two = h.clone().requires_grad_(), h.clone().requires_grad_()
    wanted, got = their(one), ours(two)
    assert_near("the output", got, wanted, 1e-5)
    wanted.square().sum().backward()
    got.square().sum().backward()
    assert_near("the input's gradient", two.grad, one.grad, 1e-5)
    same_gradients(ours, their, COLLAPSE)


def our_mixture(route):
    shared = GatedFeedForward(width=WIDTH, hidden=14, activation="silu")
    return MixtureOfExperts(
        width=WIDTH,
        hidden=14,
        experts=EXPERTS,
        top=3,
        scores="sqrtsoftplus",
        route=route,
        balance=0.0,
        shared=shared,
    ).eval()


def hash_as_we_do(mixture):
    mixture.gate.tid2eid.copy_(hashed_experts(torch.arange(VOCABULARY), EXPERTS, 3))


@pytest.mark.parametrize("length", [63, 100])
@pytest.mark.parametrize("route", ["learned", "hash"])
def test_the_mixture_of_experts_is_theirs(route, length):
    kind = "hash_moe" if route == "hash" else "moe"
    their = shaken(theirs.DeepseekV4SparseMoeBlock(config("sliding", mlps=[kind]), 0))
    ours = our_mixture(route)
    copy(ours, their, MIXTURE)
    ids = torch.randint(VOCABULARY, (2, length), generator=torch.Generator().manual_seed(0))
    if route == "hash":
        hash_as_we_do(their)
    x = features(length)
    one, two = x.clone().requires_grad_(), x.clone().requires_grad_()
    wanted, got = their(one, ids), ours(two, ids)
    assert_near("the output", got, wanted, 1e-5)
    slope = features(length + 1)[:, :length]
    (wanted * slope).sum().backward()
    (got * slope).sum().backward()
    assert_near("the input's gradient", two.grad, one.grad, 1e-5)
    same_gradients(ours, their, MIXTURE)


@pytest.mark.parametrize("length", [63, 100])
def test_a_whole_trunk_is_theirs(length):
    """Embeddings in, normed features out; the first connection of ours mixes nothing.

    Twice the tolerance: there are eight operators in a row, and a scale's gradient is a sum over
    all tokens that nearly cancels (1e-5 was measured).
    """
    layers = ("heavy", "sparse", "sliding", "sparse")
    made = config(*layers, mlps=["hash_moe", "moe", "moe", "moe"])
    their = shaken(theirs.DeepseekV4Model(made))
    hash_as_we_do(their.layers[0].mlp)
    operators: list[nn.Module] = []
    for number, kind in enumerate(layers):
        operators.append(our_attention(kind, 10_000 if kind == "sliding" else 160_000, 4))
        operators.append(our_mixture("learned" if number else "hash"))
    ours = HyperStreams(width=WIDTH, streams=STREAMS, mix="mhc", operators=operators)
    norm = RmsNorm(width=WIDTH)
    pairs = [(norm, their.norm, SAME), (ours.end, their.hc_head, COLLAPSE)]
    for number, layer in enumerate(their.layers):
        for place, source, scale, connection, names in (
            (2 * number, layer.self_attn, layer.input_layernorm, layer.attn_hc, ATTENTION),
            (2 * number + 1, layer.mlp, layer.post_attention_layernorm, layer.ffn_hc, MIXTURE),
        ):
            pairs.append((ours.operators[place], source, names))
            pairs.append((ours.connections[place], connection, CONNECTION))
            pairs.append((ours.norms[place], scale, SAME))
    for one, other, names in pairs:
        copy(one, other, names)
    ids = torch.randint(VOCABULARY, (2, length), generator=torch.Generator().manual_seed(0))
    wanted = their(ids, use_cache=False).last_hidden_state
    got = norm(ours(their.embed_tokens(ids), ids))
    assert_near("the output", got, wanted, 2e-5)
    slope = features(length)
    (wanted * slope).sum().backward()
    (got * slope).sum().backward()
    for one, other, names in pairs:
        same_gradients(one, other, names, 2e-5, ungraded=("selector.",))
