"""torch.compile by the block, and the rule that says where it pays.

Compiling a model's blocks takes tens of seconds the first time and seconds from the disk's cache;
what it saves is a share of every step. So it pays for long trials alone:

    tokens x trials x (seconds a token plain - compiled) > first compilation + (trials - 1) x later

All four figures are measured here, on the genome, at its size: `measure` trains a few steps both
ways in fresh processes, the first with an empty cache.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from platformdirs import user_cache_path
from torch import nn
from torch.nn.functional import cross_entropy

from palmette.errors import PalmetteError
from palmette.model import build

PAIRS = 5  # of a plain and a compiled step, one after the other
LEAST_SECONDS = 10.0  # no compilation of a whole model takes less, and no trial below can save it
MOST_SAVED = 0.4  # of a step; the best that was ever measured is 0.41, for a gated delta rule


@dataclass(frozen=True)
class Job:
    """What is measured: a genome at a size, and the batches that it is trained on."""

    expression: str
    parameters: int
    vocabulary: int
    context: int  # tokens
    batch_size: int
    length: int
    kernel: str


@dataclass(frozen=True)
class CompileCost:
    """What compiling costs and what it saves; all in seconds of wall time."""

    first_seconds: float
    later_seconds: float
    plain_seconds_a_token: float
    compiled_seconds_a_token: float

    @property
    def saving(self) -> float:
        """Seconds a token; negative where compiling makes it slower."""
        return self.plain_seconds_a_token - self.compiled_seconds_a_token

    def pays(self, tokens: int, trials: int = 1) -> bool:
        """Whether `trials` trainings of one genome on `tokens` tokens each end sooner compiled.

        >>> cost = CompileCost(30.0, 4.0, 40e-6, 30e-6)  # saves 10 s a million tokens
        >>> cost.pays(2_900_000), cost.pays(3_100_000), cost.pays(2_000_000, trials=2)
        (False, True, True)
        """
        paid = self.first_seconds + (trials - 1) * self.later_seconds
        return tokens * trials * self.saving > paid

    def break_even_tokens(self) -> float | None:
        """The tokens of one trial from which on compiling pays; None if it saves nothing."""
        return self.first_seconds / self.saving if self.saving > 0 else None


def worth_measuring(trial_seconds: float, trials: int = 1) -> bool:
    """Whether compiling could pay at all for trials of this length: measuring is not free either.

    >>> worth_measuring(12.0), worth_measuring(120.0)
    (False, True)
    """
    return trial_seconds * trials * MOST_SAVED > LEAST_SECONDS


def compile_blocks(model: nn.Module, rows: int, length: int) -> str | None:
    """Compiles every block of a model's chains for batches [rows length], in place.

    Returns why torch.compile cannot take the model, which is then as it was; None if it can.
    Equal blocks share their code, and compiled code is kept on disk, in the user's cache folder.
    One thread compiles: a trial has one core.
    """
    import torch._inductor.config as inductor

    inductor.compile_threads = 1
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(user_cache_path("palmette") / "compiled"))
    given = blocks(model)
    for block in given:
        block.compile()
    try:
        model(torch.zeros(rows, length, dtype=torch.long)).sum().backward()
    except (
        Exception
    ) as error:  # whatever a compiler or a model may raise: the plain model is tried next
        for block in given:
            block._compiled_call_impl = None
        return f"{type(error).__name__}: {error}"
    finally:
        model.zero_grad(set_to_none=True)
    return None


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers of a model's chains that hold no chain themselves; the model, if it has none."""
    listed = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = [layer for chain in listed for layer in chain]
    return [layer for layer in layers if not any(o in listed for o in layer.modules())] or [model]


def measure(job: Job) -> CompileCost:
    """Both ways in fresh processes: with an empty cache, and again with the one that it left.

    Takes about twice as long as the compilation. Raises `PalmetteError` if it fails.
    """
    with tempfile.TemporaryDirectory() as cache:
        first, later = _in_process(job, Path(cache)), _in_process(job, Path(cache))
    return CompileCost(
        first_seconds=first["compile"],
        later_seconds=later["compile"],
        plain_seconds_a_token=later["plain"],
        compiled_seconds_a_token=later["compiled"],
    )


def _in_process(job: Job, cache: Path) -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, "-m", "palmette.train.compiling", json.dumps(asdict(job))],
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
    )
    if ran.returncode != 0:
        raise PalmetteError(f"compiling {job.expression} failed:\n{ran.stderr[-1000:]}")
    told: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return told


def _measure_here(job: Job) -> dict[str, float]:
    torch.set_num_threads(1)
    plain, compiled = (
        build(job.expression, job.parameters, job.vocabulary, job.context, 0, job.kernel)
        for _ in range(2)
    )
    ids = torch.randint(job.vocabulary, (job.batch_size, job.length))
    _seconds(plain, ids)
    began = time.perf_counter()
    if reason := compile_blocks(compiled, *ids.shape):
        raise PalmetteError(f"torch.compile cannot take this model: {reason}")
    first = time.perf_counter() - began
    if not torch.allclose(plain(ids), compiled(ids), rtol=1e-3, atol=1e-4):
        raise PalmetteError("compiled by torch.compile, the model computes something else")
    pairs = [(_seconds(plain, ids), _seconds(compiled, ids)) for _ in range(PAIRS)]
    of_plain, of_compiled = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {
        "compile": first - of_compiled,
        "plain": of_plain / ids.numel(),
        "compiled": of_compiled / ids.numel(),
    }


def _seconds(model: nn.Module, ids: torch.Tensor) -> float:
    """Of a forward and a backward pass."""
    began = time.perf_counter()
    cross_entropy(model(ids).flatten(0, 1), ids.flatten()).backward()  # type: ignore[no-untyped-call]
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(_measure_here(Job(**json.loads(sys.argv[1])))))
