"""What linear recurrences cost beside softmax attention, forward and backward, on one thread.

    python benchmarks/lin.py

For each row and width: the milliseconds of the layer, their ratio to a layer of causal attention
through torch's fused kernel (with the same head count and four projections), and how much longer
the recurrence takes token by token. Medians of process time over interleaved runs.
"""

import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor, nn

from palmette.model.parse import parse
from palmette.ops import _lin_module
from palmette.ops._base import Place
from palmette.ops._lin_module import LinearRecurrence
from palmette.ops.kernels.recurrence import recurrence_loop
from palmette.ops.lin import Lin

BATCH, LENGTH, RUNS, LOOP_RUNS = 32, 128, 11, 3
ROWS = {
    "linear_attention": "lin(conv=0, feature='elu1', read='normalised', out_norm='none')",
    "retnet": "lin(conv=0, rotary=True, decay='constant', value_ratio=2, out_gate='silu')",
    "gla": "lin(conv=0, key_ratio=1/2, decay='vector', out_gate='silu')",
    "hgrn2": "lin(conv=0, feature='silu', decay='tied')",
    "rwkv6": "lin(conv=2, decay='vector', read='bonus', out_gate='silu')",
    "mamba2": "lin(key_ratio=2, value_ratio=2, key_groups='one', bias=True, decay='scalar', "
    "write='dt', skip=True, out_norm='rms_after', out_gate='silu')",
    "deltanet": "lin(erase='beta')",
    "gated_deltanet": "lin(key_ratio=3/4, value_ratio=3/2, decay='scalar', erase='beta', "
    "out_gate='silu')",
    "kda": "lin(decay='vector_dt', erase='beta', out_gate='sigmoid')",
    "rwkv7": "lin(conv=2, decay='vector_dt', erase='free', read='bonus', out_gate='silu')",
    "deltaproduct": "lin(erase='beta2', householders=2)",
}


class Attention(nn.Module):
    """Causal softmax attention and its four projections."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        o = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(o.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def layer(text: str, width: int) -> LinearRecurrence:
    lin = next(node for _, node in parse(f"pre({text})").root.walk() if isinstance(node, Lin))
    place = Place(width=width, depth=1, hidden=1.0, vocabulary=256, context=LENGTH)
    return LinearRecurrence(**dict(lin.plan(place).arguments))


def seconds(run: Callable[[], None]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def trainer(module: nn.Module, width: int) -> Callable[[], None]:
    x = torch.randn(BATCH, LENGTH, width, requires_grad=True)
    target = torch.randn(BATCH, LENGTH, width)
    return lambda: module(x).backward(target)


def slow_trainer(module: nn.Module, width: int) -> Callable[[], None]:
    """The same step with the recurrence token by token."""
    run = trainer(module, width)

    def step() -> None:
        with patch.object(_lin_module, "recurrence_chunked", in_a_loop):
            run()

    return step


def in_a_loop(*tensors: Tensor | None, chunk: int) -> tuple[Tensor, Tensor]:
    return recurrence_loop(*tensors)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"b = {BATCH}, t = {LENGTH}, {RUNS} runs, torch {torch.__version__}")
    for width in (32, 64):
        runs = {"attention": trainer(Attention(width, 4), width)}
        runs |= {name: trainer(layer(text, width), width) for name, text in ROWS.items()}
        loops = {name: slow_trainer(layer(text, width), width) for name, text in ROWS.items()}
        taken: dict[str, list[float]] = {name: [] for name in runs}
        taken_loop: dict[str, list[float]] = {name: [] for name in loops}
        for number in range(RUNS + 1):  # the first is a warm-up
            for name, run in runs.items():
                taken[name].append(seconds(run))
            if number <= LOOP_RUNS:
                for name, run in loops.items():
                    taken_loop[name].append(seconds(run))
        middle = {name: statistics.median(times[1:]) for name, times in taken.items()}
        print(f"\nd = {width:<16}{'ms':>8}{'/ attention':>14}{'loop / chunks':>16}")
        for name, time_taken in middle.items():
            line = f"{name:<20}{1000 * time_taken:8.1f}{time_taken / middle['attention']:14.2f}"
            if name in taken_loop:
                line += f"{statistics.median(taken_loop[name][1:]) / time_taken:16.1f}"
            print(line)


if __name__ == "__main__":
    main()
