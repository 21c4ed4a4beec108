import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import palmette
from palmette.errors import UnknownNameError
from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.ladder.scales import HUMAN_BASELINES
from palmette.model import atlas
from palmette.model.build import build_at
from palmette.model.fit import cost, fit
from palmette.ops._segments import unreached

NAMES = atlas.names()
HASHES = Path(__file__).with_name("atlas_hashes.json")


def test_the_architectures_that_the_project_promises_are_there():
    promised = {*HUMAN_BASELINES, atlas.root, "linear_attention", "retnet", "gla"}
    assert promised <= set(NAMES)
    assert atlas.root in HUMAN_BASELINES


@pytest.mark.parametrize("name", NAMES)
def test_genome_reprints_to_itself(name):
    genome = atlas.load(name)
    assert palmette.parse(str(genome)) == genome
    assert str(palmette.parse(str(genome))) == str(genome)


def test_hashes_are_those_that_were_released():
    """A genome's identity may not move: stores and placebos refer to it.

    A new architecture adds its line to the file; a line that is there never changes.
    """
    assert {name: atlas.load(name).hash for name in NAMES} == json.loads(HASHES.read_text("utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_comments_hold_a_summary_a_citation_and_the_deviations(name):
    summary, *rest = atlas.comments(name)
    assert summary.endswith(".")
    assert ": " in summary
    about = " ".join(rest)
    assert about.startswith("Paper: ")
    assert "arXiv " in about
    assert "Deviates: " in about


@pytest.mark.parametrize("parameters", [42_000, 100_000, 200_000, 1_000_000])
@pytest.mark.parametrize("name", NAMES)
def test_fits_within_two_percent_and_the_closed_form_is_exact(name, parameters):
    genome = atlas.load(name)
    found = fit(genome, parameters, vocabulary=272, context=256)
    assert found.fits, found
    with torch.device("meta"):
        model = build_at(genome, found.place)
    assert sum(p.numel() for p in model.parameters()) == found.parameters
    assert cost(genome, found.place, 63).parameters == found.parameters


@pytest.mark.parametrize("name", NAMES)
def test_trains_with_finite_values_and_a_gradient_in_every_parameter(name):
    model = palmette.build(atlas.load(name), params=42_000, vocab_size=272, context=100, seed=0)
    ids = torch.randint(272, (2, 100), generator=torch.Generator().manual_seed(0))
    logits = model(ids)
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    # Tied logits start at unit scale, which costs up to a nat before the first step.
    assert -0.1 < loss.item() - math.log(272) < 1.2
    loss.backward()
    spared = unreached(model)  # trained by another loss than one on the logits
    for path, parameter in model.named_parameters():
        if path in spared:
            continue
        assert parameter.grad is not None, path
        assert parameter.grad.isfinite().all(), path
        assert parameter.grad.any(), path


CAUSAL = [name for name in NAMES if Effect.CAUSAL in effects(atlas.load(name).root)]


def test_the_architectures_that_look_ahead_are_those_of_whole_sequences():
    assert set(NAMES) - set(CAUSAL) == {"hrm", "trm"}


@pytest.mark.parametrize("name", CAUSAL)
def test_the_future_is_not_seen(name):
    model = palmette.build(atlas.load(name), params=42_000, vocab_size=272, context=100, seed=0)
    ids = torch.randint(272, (1, 100), generator=torch.Generator().manual_seed(0))
    other = ids.clone()
    other[0, 41:] = 7
    with torch.no_grad():
        moved = (model(ids) - model(other)).abs().amax((0, 2))
    assert moved[:41].max() < 1e-5
    assert moved[41:].max() > 1e-3


def test_rows_show_every_architecture():
    rows = atlas.rows()
    assert [row.name for row in rows] == NAMES
    deltanet = next(row for row in rows if row.name == "deltanet")
    assert deltanet.genome == "lm(stack(pre(lin(erase='beta')), pre(glu())))"
    assert deltanet.summary.startswith("DeltaNet: ")
    assert deltanet.hash == atlas.load("deltanet").hash


@pytest.mark.parametrize("look_up", [atlas.load, atlas.comments])
def test_an_unknown_name_is_answered_with_the_nearest(look_up):
    with pytest.raises(
        UnknownNameError,
        match="no architecture in the atlas is called 'delta_net'; did you mean 'deltanet'",
    ):
        look_up("delta_net")
    with pytest.raises(UnknownNameError):
        look_up("../atlas/gpt2")


def weights_of(name: str) -> tuple[nn.Module, dict[str, Tensor], Tensor, int]:
    """A small model with two layers, its weights by name, ids, and its width."""
    genome = atlas.load(name)
    found = fit(genome, 42_000, vocabulary=272, context=63)
    model = build_at(genome, found.place, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no scale or bias is 1 or 0
            parameter.add_(0.05 * torch.randn(parameter.shape))
    ids = torch.randint(272, (2, 63), generator=torch.Generator().manual_seed(1))
    return model, dict(model.named_parameters()), ids, found.place.width


def test_gpt2_is_what_torch_s_own_attention_and_layer_norm_compute():
    model, weights, ids, d = weights_of("gpt2")
    table = weights["embedding.weight"]
    x = table[ids] * table.shape[1] ** 0.5 + weights["positions.weight"][:63]
    blocks = [path for path, module in model.named_modules() if path.endswith(".op")]
    for attention, mixer in zip(blocks[::2], blocks[1::2], strict=True):
        reference = nn.MultiheadAttention(d, 4, batch_first=True)
        w = {key.removeprefix(attention + "."): v for key, v in weights.items()}
        with torch.no_grad():
            parts = [w["query.weight"], w["key.weight"], w["value.weight"]]
            reference.in_proj_weight.copy_(torch.cat(parts))
            biases = [w["query.bias"], torch.zeros(d), w["value.bias"]]
            reference.in_proj_bias.copy_(torch.cat(biases))
            reference.out_proj.weight.copy_(w["out.weight"])
            reference.out_proj.bias.copy_(w["out.bias"])
        norms = [
            (
                weights[f"{path.removesuffix('.op')}.norm.weight"],
                weights[f"{path.removesuffix('.op')}.norm.bias"],
            )
            for path in (attention, mixer)
        ]
        seen = F.layer_norm(x, (d,), *norms[0])
        future = torch.ones(63, 63, dtype=torch.bool).triu(1)
        x = x + reference(seen, seen, seen, attn_mask=future, need_weights=False)[0]
        up = F.linear(
            F.layer_norm(x, (d,), *norms[1]),
            weights[f"{mixer}.up.weight"],
            weights[f"{mixer}.up.bias"],
        )
        x = x + F.linear(F.gelu(up), weights[f"{mixer}.down.weight"], weights[f"{mixer}.down.bias"])
    x = F.layer_norm(x, (d,), weights["norm.weight"], weights["norm.bias"])
    torch.testing.assert_close(model(ids), x @ weights["embedding.weight"].T, rtol=1e-5, atol=1e-5)


def test_llama_is_what_its_equations_say_token_by_token():
    model, weights, ids, d = weights_of("llama")
    k = round(d / 4)

    def rms(x: Tensor, scale: Tensor) -> Tensor:
        return x / (x.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * scale

    def turned(x: Tensor, position: int) -> Tensor:
        """Features 2i and 2i + 1 as a point in the plane, turned by position 10000^(-2i/k)."""
        out = x.clone()
        for i in range(k // 2):
            angle = position * 10000 ** (-2 * i / (k - k % 2))
            c, s = math.cos(angle), math.sin(angle)
            out[:, 2 * i] = c * x[:, 2 * i] - s * x[:, 2 * i + 1]
            out[:, 2 * i + 1] = s * x[:, 2 * i] + c * x[:, 2 * i + 1]
        return out

    table = weights["embedding.weight"]
    x = table[ids[0]] * table.shape[1] ** 0.5
    blocks = [path for path, module in model.named_modules() if path.endswith(".op")]
    for attention, mixer in zip(blocks[::2], blocks[1::2], strict=True):
        seen = rms(x, weights[f"{attention.removesuffix('.op')}.norm.weight"])
        q, key, v = (
            (seen @ weights[f"{attention}.{part}.weight"].T).view(63, 4, k)
            for part in ("query", "key", "value")
        )
        q = torch.stack([turned(q[i], i) for i in range(63)])
        key = torch.stack([turned(key[i], i) for i in range(63)])
        outputs = []
        for i in range(63):
            scores = (q[i] * key[: i + 1]).sum(-1) / math.sqrt(k)
            outputs.append((scores.softmax(0)[..., None] * v[: i + 1]).sum(0).flatten())
        x = x + torch.stack(outputs) @ weights[f"{attention}.out.weight"].T
        seen = rms(x, weights[f"{mixer.removesuffix('.op')}.norm.weight"])
        gate, up = (seen @ weights[f"{mixer}.{part}.weight"].T for part in ("gate", "up"))
        x = x + (gate * torch.sigmoid(gate) * up) @ weights[f"{mixer}.down.weight"].T
    x = rms(x, weights["norm.weight"]) @ weights["embedding.weight"].T
    torch.testing.assert_close(model(ids[:1])[0], x, rtol=1e-5, atol=1e-5)
