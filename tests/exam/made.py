"""Made-up exams: plans, what entries measured, with figures that a test chooses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palmette.records import Entry, ExamPlan, ExamRung, Hypothesis, Price, Sat

LOOKS = (4, 8, 12)
SHARES = (1 / 27, 7 / 27, 19 / 27)
RUNGS = ("1", "2", "3")


def entry(label: str, role: str = "baseline", **changes: Any) -> Entry:
    """An entry of 168,000 parameters with a constant state of 4,096 bytes."""
    expression = changes.pop("expression", f"lm({label.partition('/')[0]})")
    fields: dict[str, Any] = {
        "label": label,
        "role": role,
        "genome": hashlib.sha256(expression.encode()).hexdigest(),
        "expression": expression,
        "parameters": 168_000,
        "flops_forward": 336_000.0,
        "flops_train": 1.8e11,
        "state_bytes": 4_096,
        "constant_state": True,
    }
    return Entry(**{**fields, **changes})


def rung(name: str, seeds: int = 4) -> ExamRung:
    return ExamRung(
        name=name,
        parameters=42_000,
        tokens=180_224,
        batch_size=4,
        length=128,
        evaluation_tokens=16_384,
        seeds=seeds,
    )


def hypothesis(candidate: str = "found", number: int = 1, **changes: Any) -> Hypothesis:
    fields: dict[str, Any] = {"league": "open", "claim": "score", "alpha": 0.05}
    return Hypothesis(number=number, candidate=candidate, **{**fields, **changes})


ENTRIES = (entry("found", "candidate"), entry("gpt2"), entry("deltanet"))


def plan(
    entries: Sequence[Entry] = ENTRIES,
    hypotheses: Sequence[Hypothesis] = (hypothesis(),),
    **changes: Any,
) -> ExamPlan:
    """A plan with three rungs and three looks at the last; `changes` replace fields."""
    looks = changes.get("looks", LOOKS)
    fields: dict[str, Any] = {
        "campaign": "first",
        "draw": 1,
        "scale": "pocket",
        "suite": "exam/0123456789abcdef",
        "suite_digest": "5" * 64,
        "corpus": "the standard library",
        "numerics": 1,
        "kernel": "native",
        "seed": 0,
        "rungs": (rung("1"), rung("2"), rung("3", looks[-1])),
        "learning_rates": (7e-3, 1.5e-2, 3e-2),
        "rate_factor": 2.0,
        "extensions": 2,
        "looks": LOOKS,
        "shares": SHARES,
        "q": 0.1,
        "paired": True,
        "text_margin_bits": 0.05,
        "score_margin": 0.02,
        "efficiency": 0.5,
        "tuning_trials": 0,
        "entries": tuple(entries),
        "hypotheses": tuple(hypotheses),
        "price": Price(
            trials=100,
            worker_seconds=1_000.0,
            noise=0.01,
            noise_from="made up",
            seeds=looks[-1],
            detectable=0.01,
            power=0.8,
            alpha=0.05,
        ),
    }
    return ExamPlan(**{**fields, **changes})


def sat(
    label: str,
    scores: Sequence[float],
    text: Sequence[float] | float = 2.0,
    at: str = "3",
    failed: bool = False,
) -> Sat:
    """What an entry measured on the seeds 100, 101, …"""
    scores = tuple(map(float, scores))
    bits = (text,) * len(scores) if isinstance(text, float) else tuple(map(float, text))
    return Sat(
        label=label,
        rung=at,
        learning_rate=1.5e-2 if scores else None,
        seeds=tuple(range(100, 100 + len(scores))),
        scores=scores,
        text_bits=bits,
        tasks={"mazes": scores},
        failed=failed,
    )


def drawn(
    means: Mapping[str, float],
    seeds: int = LOOKS[-1],
    noise: float = 0.01,
    common: float = 0.01,
    text_noise: float = 0.005,
    seed: int = 0,
    at: str = "3",
) -> list[Sat]:
    """Entries with these means: noise of their own on top of what a seed does to all alike."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, common, seeds)
    return [
        sat(
            label,
            (mean + shared + rng.normal(0, noise, seeds)).tolist(),
            (2.0 + rng.normal(0, text_noise, seeds)).tolist(),
            at,
        )
        for label, mean in means.items()
    ]


def first(held: Sequence[Sat], seeds: int) -> list[Sat]:
    """The same as long as there were so many seeds."""
    return [
        one.model_copy(
            update={
                "seeds": one.seeds[:seeds],
                "scores": one.scores[:seeds],
                "text_bits": one.text_bits[:seeds],
                "tasks": {task: own[:seeds] for task, own in one.tasks.items()},
            }
        )
        for one in held
    ]
