"""Runs every native kernel at awkward sizes; started under a sanitizer by test_sanitized.py."""

import sys

import torch

from palmette.grammar.node import effects
from palmette.grammar.types import Effect
from palmette.model import atlas, build, parse
from palmette.ops.kernels.native.answers import answers
from palmette.ops.kernels.native.cross_entropy import cross_entropy
from palmette.ops.kernels.native.library import library
from palmette.train.optimizer import FlatAdamW

EXTRA = (
    "stack(pre(lin(decay='scalar', erase='beta', conv=3, bias=True, heads=2, key_ratio=1/2)))",
    "stack(pre(lin(heads=1, value_ratio=3/2, decay='vector', out_norm='none', skip=True)))",
    "stack(pre(attn(window=16, sink=True)), post(mlp(bias=True)))",
    "stack(pre(conv()), sandwich(glu(activation='gelu')))",
)


def main() -> None:
    if sys.argv[1:] == ["overrun"]:
        from pathlib import Path

        from palmette.ops.kernels.native import library as libraries

        libraries.SOURCES = Path(__file__).parent / "faulty"
        library("overrun").overrun(2)
        return
    for number, text in enumerate((*atlas.names(), *EXTRA)):
        genome = parse(text) if "(" in text else atlas.load(text)
        torch.set_num_threads(1 + 2 * (number % 2))
        model = build(genome, 20_000 + 1_700 * (number % 5), 37, context=40, kernel="native")
        for length in (1, 35):
            ids = torch.randint(37, (3, length))
            logits = model(ids)
            cross_entropy(logits, ids, torch.ones(3)).backward()
            answers(logits.flatten(0, 1), ids.flatten().numpy())
        FlatAdamW(list(model.parameters())).step(0.01)
        if Effect.STREAMABLE in effects(genome.root):
            with torch.no_grad():
                state = model.init_state(1)
                for _ in range(3):
                    _, state = model.step(torch.zeros(1, dtype=torch.long), state)
    print("done")


main()
