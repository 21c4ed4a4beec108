"""Decoding token by token: our gated delta model against layers of transformers' qwen3_next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.ratios.agreement import Agreement, agreement
from benchmarks.ratios.measure import Side, timed
from benchmarks.ratios.models import M, S, Shape, model
from benchmarks.ratios.row import Row, Wanted

TOKENS = 32
Decoded = Callable[[int], Tensor]


class Theirs:
    """Embedding, decoder layers, norm and head of qwen3_next with our weights, and its cache.

    The layers are called as the model calls them, without what it does around them (masks, rotary
    tables, collecting outputs), none of which linear layers read.
    """

    def __init__(self, ours: nn.Module, shape: Shape) -> None:
        from transformers import DynamicCache, Qwen3NextConfig
        from transformers.models.qwen3_next.modeling_qwen3_next import (
            Qwen3NextDecoderLayer,
            Qwen3NextRMSNorm,
        )

        size = shape.width // shape.heads
        config = Qwen3NextConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.width,
            intermediate_size=2 * shape.width,
            num_hidden_layers=shape.depth,
            layer_types=["linear_attention"] * shape.depth,
            linear_num_key_heads=shape.heads,
            linear_num_value_heads=shape.heads,
            linear_key_head_dim=size,
            linear_value_head_dim=size,
            linear_conv_kernel_dim=4,
            num_experts=0,
            rms_norm_eps=1e-5,
        )
        weights = ours.state_dict()
        self.embedding = weights["embedding.weight"]
        self.layers = [Qwen3NextDecoderLayer(config, n) for n in range(shape.depth)]
        self.norm = Qwen3NextRMSNorm(shape.width, eps=1e-5)
        self.norm.load_state_dict({"weight": weights["norm.weight"] - 1})
        blocks = list(paired(weights))
        for layer, (mixer, channels) in zip(self.layers, blocks, strict=True):
            layer.load_state_dict(as_theirs(mixer, channels, shape))
            layer.eval()
        self._cache = lambda: DynamicCache(config=config)
        self.cache = self._cache()

    def step(self, ids: Tensor) -> Tensor:
        """The logits [b vocabulary] after one more id [b]."""
        x = (self.embedding[ids] * self.embedding.shape[1] ** 0.5).unsqueeze(1)
        for layer in self.layers:
            x = layer(x, position_embeddings=None, past_key_values=self.cache, use_cache=True)
        return (self.norm(x) @ self.embedding.T).squeeze(1)

    def reset(self) -> None:
        self.cache = self._cache()


def paired(weights: dict[str, Tensor]) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """The weights of each layer's two residual steps, named from there."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in weights.items():
        if ".op." in name or name.endswith(".norm.weight"):
            stem, _, rest = name.partition(".op.") if ".op." in name else name.rpartition(".norm.")
            groups.setdefault(stem, {})["norm" if ".op." not in name else rest] = value
    steps = [group for stem, group in groups.items() if stem]
    yield from zip(steps[::2], steps[1::2], strict=True)


def as_theirs(
    mixer: dict[str, Tensor], channels: dict[str, Tensor], shape: Shape
) -> dict[str, Tensor]:
    """Theirs keeps q, k, v and the gate of a head together; ours all q, then all k, …"""
    d, h = shape.width, shape.heads
    q, k, v, z, beta, dt = mixer["project.weight"].split([d, d, d, d, h, h])
    by_head = [part.view(h, -1, d) for part in (q, k, v, z)]
    both = [part.view(h, 1, d) for part in (beta, dt)]
    return {
        "linear_attn.in_proj_qkvz.weight": torch.cat(by_head, 1).flatten(0, 1),
        "linear_attn.in_proj_ba.weight": torch.cat(both, 1).flatten(0, 1),
        "linear_attn.conv1d.weight": mixer["taps"].unsqueeze(1),
        "linear_attn.A_log": mixer["A_log"],
        "linear_attn.dt_bias": mixer["dt_bias"],
        "linear_attn.norm.weight": mixer["out_scale"],
        "linear_attn.out_proj.weight": mixer["out.weight"],
        "input_layernorm.weight": mixer["norm"] - 1,
        "post_attention_layernorm.weight": channels["norm"] - 1,
        "mlp.gate_proj.weight": channels["gate.weight"],
        "mlp.up_proj.weight": channels["up.weight"],
        "mlp.down_proj.weight": channels["down.weight"],
    }


class Decode(Row):
    """One sequence, the likeliest id of each step the next one's input."""

    def __init__(self, shape: Shape) -> None:
        self.name, self.against = f"decoding, {shape.name}", "transformers' qwen3_next layers"
        self.wanted, self.shape = Wanted(3), shape
        self.about = f"{shape}, but one sequence; {TOKENS} tokens a reading"

    def prepare(self) -> None:
        self.ours: Any = model("gated delta", self.shape, "native").eval()
        self.theirs = Theirs(self.ours, self.shape)

    def ours_from(self, first: int) -> Decoded:
        """Decodes on from an id; each call goes on where the last one stopped."""
        held = [self.ours.init_state(1), torch.tensor([first])]

        @torch.no_grad()
        def decode(tokens: int) -> Tensor:
            (state, ids), given = held, []
            for _ in range(tokens):
                logits, state = self.ours.step(ids, state)
                given.append(logits)
                ids = logits.argmax(-1)
            held[:] = state, ids
            return torch.cat(given)

        return decode

    def theirs_from(self, first: int) -> Decoded:
        """The same by theirs."""
        self.theirs.reset()
        held = [torch.tensor([first])]

        @torch.no_grad()
        def decode(tokens: int) -> Tensor:
            (ids,), given = held, []
            for _ in range(tokens):
                logits = self.theirs.step(ids)
                given.append(logits)
                ids = logits.argmax(-1)
            held[:] = [ids]
            return torch.cat(given)

        return decode

    def sides(self) -> tuple[Side, Side]:
        """Their first token goes through the chunk form, so it is read before the clock starts."""
        ours, theirs = self.ours_from(1), self.theirs_from(1)
        ours(1), theirs(1)
        return timed(lambda: ours(TOKENS)), timed(lambda: theirs(TOKENS))

    def check(self) -> Agreement:
        """The logits [n vocabulary] of every token; decoding has no gradient."""
        ours, theirs = self.ours_from(1)(TOKENS), self.theirs_from(1)(TOKENS)
        return agreement({"logits": ours}, {"logits": theirs}, 1e-4)


def rows() -> Iterator[Row]:
    """Both shapes."""
    for shape in (S, M):
        yield Decode(shape)
