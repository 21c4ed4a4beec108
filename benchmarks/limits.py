"""Where a training step's time goes, and how far it is from what matrix products alone would take.

    python -m benchmarks.limits [--models NAME …] [--results FILE]

For each model at both shapes and each form of its kernels: the median processor time of a step, the
share of it by operator, and what 6NT operations (forward and backward of N weights on T tokens)
take at the rate at which this machine multiplies matrices of that size: by torch's library, and by
our own kernel. What is left above that is what a faster step could still gain at most.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.ratios.host import host
from benchmarks.ratios.measure import timed
from benchmarks.ratios.models import GENOMES, M, S, Shape, data, model, palmette_step
from palmette.ops.kernels.native.call import call

RESULTS = Path("benchmarks/results/limits.json")
KERNELS = ("native", "torch")
RUNS, PROFILED, SHOWN = 7, 3, 12


def measure(name: str, shape: Shape, kernel: str, rates: dict[str, float]) -> dict[str, Any]:
    """One model's step: its time, its bounds at the rates given in GFLOP/s, its operators."""
    built = model(name, shape, kernel)
    batch = data(shape)
    weights = sum(p.numel() for p in built.parameters())
    operations = 6 * weights * shape.batch * shape.length
    step = palmette_step(built, batch, kernel)
    side = timed(step)
    seconds = sorted(side().process for _ in range(RUNS))[RUNS // 2]
    return {
        "model": name,
        "shape": shape.name,
        "kernel": kernel,
        "parameters": weights,
        "step_seconds": seconds,
        "operations": operations,
        "gflops": operations / seconds / 1e9,
        "bound_seconds": {of: operations / rate / 1e9 for of, rate in rates.items()},
        "shares": shares(step, kernel),
    }


def shares(step: Callable[[], object], kernel: str) -> dict[str, float]:
    """The share of the processor time of each operator, without those that it calls.

    Native kernels are named by their function in C++; what is spent around them is one item.
    """
    if kernel == "native":
        with kernels_timed() as spent:
            began = time.thread_time()
            for _ in range(PROFILED):
                step()
            total = time.thread_time() - began
        found = {name: seconds / total for name, seconds in spent.items()}
        found["torch and Python"] = 1 - sum(found.values())
    else:
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            for _ in range(PROFILED):
                step()
        rows = seen.key_averages()
        total = sum(row.self_cpu_time_total for row in rows)
        found = {row.key: row.self_cpu_time_total / total for row in rows}
    ordered = sorted(found.items(), key=lambda item: -item[1])
    kept = dict(ordered[:SHOWN])
    rest = len(ordered) - len(kept)
    return kept | ({f"{rest} others": 1 - sum(kept.values())} if rest else {})


@contextmanager
def kernels_timed() -> Iterator[dict[str, float]]:
    """Meanwhile every call of a native kernel adds its seconds under its file and function."""
    spent: dict[str, float] = {}

    def timed_call(module: str) -> Callable[..., None]:
        def called(function: Any, *values: int) -> None:
            began = time.thread_time()
            call(function, *values)
            name = f"{module.rpartition('.')[2]}: {function.__name__}"
            spent[name] = spent.get(name, 0.0) + time.thread_time() - began

        return called

    users = [
        module
        for name, module in sys.modules.items()
        if name.startswith("palmette.ops.kernels.native.")
        and getattr(module, "call", None) is call
        and module.__name__ != call.__module__
    ]
    with ExitStack() as patched:
        for module in users:
            patched.enter_context(patch.object(module, "call", timed_call(module.__name__)))
        yield spent


def told(row: dict[str, Any]) -> str:
    """A row as text."""
    bounds = ", ".join(
        f"{1000 * seconds:.1f} ms at the rate of {of}"
        for of, seconds in row["bound_seconds"].items()
    )
    lines = [
        f"{row['model']}, {row['shape']}, {row['kernel']}: {1000 * row['step_seconds']:.1f} ms, "
        f"{row['gflops']:.0f} GFLOP/s of 6NT; products alone: {bounds}"
    ]
    return "\n".join(lines + [f"  {share:6.1%} {name}" for name, share in row["shares"].items()])


def main(given: list[str] | None = None) -> int:
    """Measures and prints; returns the exit code."""
    parser = argparse.ArgumentParser("limits", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(GENOMES), choices=list(GENOMES))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(given)
    torch.set_num_threads(1)
    here = host()
    print("\n".join(f"{name}: {value}" for name, value in here.items()))
    rows = []
    for shape in (S, M):
        for name in options.models:
            for kernel in KERNELS:
                rows.append(measure(name, shape, kernel, here["gemm_gflops"]))
                print(f"\n{told(rows[-1])}", flush=True)
    options.results.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"host": here, "steps": rows}, indent=1)
    options.results.write_text(text + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
