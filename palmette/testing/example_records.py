"""Believable records with made-up numbers, for tests of whatever stores, ranks or prints them.

>>> example_trial_spec(seed=3).seed
3
"""

from __future__ import annotations

import hashlib
from typing import Any

from palmette.records import (
    CampaignConfig,
    Candidate,
    CurvePoint,
    Prediction,
    TaskMetrics,
    Thought,
    TrialResult,
    TrialSpec,
)

EXPRESSION = "lm(stack(pre(lin(erase='beta')), pre(glu())))"


def example_hash(text: str) -> str:
    """The hash that a genome of this text would have."""
    return hashlib.sha256(text.encode()).hexdigest()


def example_config(**changes: Any) -> CampaignConfig:
    """A campaign from DeltaNet; `changes` replace fields."""
    fields: dict[str, Any] = {
        "name": "first",
        "scale": "pocket",
        "scale_digest": example_hash("pocket"),
        "root": EXPRESSION,
        "root_name": "deltanet",
        "suite": "pocket",
        "suite_digest": example_hash("suite"),
        "corpus": "the standard library",
        "seed": 0,
        "proposers": ("evolution", "random"),
        "numerics": 1,
    }
    return CampaignConfig(**{**fields, **changes})


def example_candidate(expression: str = EXPRESSION, **changes: Any) -> Candidate:
    """A candidate that an edit found; `changes` replace fields."""
    fields: dict[str, Any] = {
        "genome": example_hash(expression),
        "expression": expression,
        "role": "found",
        "proposal": 7,
        "proposer": "evolution",
        "island": 1,
        "parents": (example_hash("a parent"),),
        "edit": "tune",
        "edit_text": "tune: lin.erase 'none' -> 'beta' at lm/stack/pre",
        "motivation": "tune raised the score in 5 of 8 edits so far",
        "prediction": Prediction(change=0.1 + 0.2, low=-0.1, high=0.7, observations=8),
        "parameters": 42_113,
        "flops_forward": 84_226.5,
        "state_bytes": 3_000_000_000,  # more than 32 bits hold
        "fingerprint": (0.1, -1 / 3, 1e-300),
    }
    return Candidate(**{**fields, **changes})


def example_root(expression: str = EXPRESSION, **changes: Any) -> Candidate:
    """A candidate that no proposer made; `changes` replace fields."""
    fields: dict[str, Any] = {
        "genome": example_hash(expression),
        "expression": expression,
        "role": "root",
        "name": "deltanet",
    }
    return Candidate(**{**fields, **changes})


def example_thought(**changes: Any) -> Thought:
    """A researcher's idea that was understood; `changes` replace fields."""
    fields: dict[str, Any] = {
        "proposal": 7,
        "proposer": "llm",
        "role": "researcher",
        "model": "a-model",
        "form": "schema",
        "prompt": example_hash("a prompt"),
        "cards": ("delta_rule", "forget_gate_lower_bound"),
        "genomes": (example_hash("a parent"),),
        "answer": '{"move": "tune", "at": "p2", "knob": "erase", "value": "beta"}',
        "content": {"motivation": "recall needs erasing", "change": 0.1 + 0.2},
        "outcome": "fine",
        "origin": "knowledge",
        "tokens_in": 3_000_000_000,  # more than 32 bits hold
        "tokens_out": 61,
        "usd": 1 / 3,
        "seconds": 0.7,
    }
    return Thought(**{**fields, **changes})


def example_trial_spec(expression: str = EXPRESSION, **changes: Any) -> TrialSpec:
    """A first-rung trial of `example_candidate(expression)`; `changes` replace fields."""
    fields: dict[str, Any] = {
        "genome": example_hash(expression),
        "expression": expression,
        "rung": "1",
        "rung_digest": example_hash("rung 1"),
        "parameters": 42_000,
        "tokens": 60_000,
        "batch_size": 32,
        "length": 128,
        "evaluation_tokens": 8192,
        "suite": "pocket",
        "suite_digest": example_hash("suite"),
        "seed": 0,
        "learning_rate": 3e-3,
        "numerics": 1,
    }
    return TrialSpec(**{**fields, **changes})


def example_metrics(bits: float = 3.0) -> dict[str, TaskMetrics]:
    """Metrics of the tasks `text` and `parity`."""
    text = TaskMetrics(
        loss_nats=bits * 0.693,
        bits=bits,
        chance_bits=8.0,
        accuracy=0.41,
        answer_tokens=8192,
        score=(8.0 - bits) / 8.0,
    )
    by_length = {32: 0.75, 64: 0.5}
    parity = text.model_copy(update={"chance_bits": 1.0, "by_length": by_length})
    return {"text": text, "parity": parity}


def example_result(bits: float = 3.0, **changes: Any) -> TrialResult:
    """What a trial measured that reached so many bits per byte; `changes` replace fields."""
    points = range(1, 33)
    fields: dict[str, Any] = {
        "metrics": example_metrics(bits),
        "select": example_metrics(bits + 0.01),
        "curve": tuple(
            CurvePoint(tokens=1875 * n, loss_nats=5.5 / n**0.3, seconds=n / 13) for n in points
        ),
        "parameters": 42_113,
        "parameters_non_embedding": 33_409,
        "width": 34,
        "depth": 2,
        "fits": True,
        "flops_forward": 84_226.5,
        "flops_train": 1.5e10,
        "state_bytes": 18_496,
        "kernel": "torch",
        "cpu_seconds": 2.46,
        "wall_seconds": 2.5,
        "phases": {"forward": 1.0, "backward": 1.1, "optimizer": 0.3, "other": 0.1 / 3},
        "peak_bytes": 260_000_000,
        "machine": "an example",
        "commit": None,
    }
    return TrialResult(**{**fields, **changes})
