"""Believable records of exams with made-up numbers, for tests of whatever keeps or prints them.

>>> example_plan(2, alphas=(0.01, 0.02)).hypotheses[1].number
3
"""

from __future__ import annotations

from typing import Any

from palmette.records import (
    CanaryRow,
    CarryPoint,
    Contrast,
    Entry,
    ExamPlan,
    ExamRung,
    Hypothesis,
    NullExams,
    Price,
    Rate,
    Span,
    Verdict,
)
from palmette.testing.example_records import EXPRESSION, example_hash


def example_entry(label: str = "a1b2c3d4", **changes: Any) -> Entry:
    """A candidate with a constant state; `changes` replace fields."""
    fields: dict[str, Any] = {
        "label": label,
        "role": "candidate",
        "genome": example_hash(label),
        "expression": EXPRESSION,
        "parameters": 200_113,
        "flops_forward": 400_226.5,
        "flops_train": 1.5e12,
        "state_bytes": 3_000_000_000,  # more than 32 bits hold
        "constant_state": True,
    }
    return Entry(**{**fields, **changes})


def example_hypothesis(number: int = 1, **changes: Any) -> Hypothesis:
    """That a candidate scores better than the open league; `changes` replace fields."""
    fields: dict[str, Any] = {
        "number": number,
        "candidate": "a1b2c3d4",
        "league": "open",
        "claim": "score",
        "alpha": 0.1 + 0.2,
    }
    return Hypothesis(**{**fields, **changes})


def example_plan(first: int = 1, alphas: tuple[float, ...] = (0.01,), **changes: Any) -> ExamPlan:
    """An exam of one candidate against gpt2, with hypotheses from number `first` on."""
    rungs = tuple(
        ExamRung(
            name=name,
            parameters=parameters,
            tokens=3 * parameters,
            batch_size=32,
            length=128,
            evaluation_tokens=8192,
            seeds=seeds,
        )
        for name, parameters, seeds in (("1", 42_000, 1), ("2", 100_000, 2), ("3", 200_000, 12))
    )
    price = Price(
        trials=96,
        worker_seconds=1728.5,
        noise=1 / 300,
        noise_from="the calibration",
        seeds=12,
        detectable=0.01,
        power=0.8,
        alpha=min(alphas, default=0.05),
    )
    fields: dict[str, Any] = {
        "campaign": "first",
        "draw": 1,
        "scale": "pocket",
        "suite": "exam/0123456789abcdef",
        "suite_digest": example_hash("a sealed suite"),
        "corpus": "the standard library",
        "numerics": 1,
        "kernel": "torch",
        "seed": 2**63,
        "rungs": rungs,
        "learning_rates": (1e-3, 3e-3, 1e-2),
        "rate_factor": 3.0,
        "extensions": 2,
        "looks": (6, 12),
        "shares": (0.3, 1.0),
        "q": 0.05,
        "paired": True,
        "correlation": Span(value=0.5, low=0.1 + 0.2, high=0.7),
        "text_margin_bits": 0.02,
        "score_margin": 0.005,
        "efficiency": 0.5,
        "tuning_trials": 10,
        "entries": (
            example_entry(),
            example_entry("gpt2", role="baseline", name="gpt2", baseline="gpt2"),
        ),
        "hypotheses": tuple(
            example_hypothesis(first + n, alpha=alpha) for n, alpha in enumerate(alphas)
        ),
        "price": price,
    }
    return ExamPlan(**{**fields, **changes})


def example_verdict(hypothesis: Hypothesis | None = None, **changes: Any) -> Verdict:
    """That a candidate was verified; `changes` replace fields."""
    advantage = Span(value=1 / 30, low=0.01, high=0.05)
    contrast = Contrast(
        candidate="a1b2c3d4",
        against="gpt2",
        difference=advantage,
        p=1 / 3000,
        paired=True,
        correlation=0.6,
        seeds=6,
    )
    fields: dict[str, Any] = {
        "hypothesis": hypothesis or example_hypothesis(),
        "verified": True,
        "kind": "tuning",
        "p": 1 / 3000,
        "look": 1,
        "seeds": 6,
        "contrasts": (contrast,),
        "text": contrast,
        "text_holds": True,
        "carry": (CarryPoint(rung="1", against="gpt2", advantage=None),),
        "carries": "carries",
        "sentence": "a1b2c3d4 is better, so they say",
    }
    return Verdict(**{**fields, **changes})


def example_nulls(exams: int = 1000) -> NullExams:
    """Resampled exams of which 1 % went wrong."""
    wrong = exams // 100
    return NullExams(
        exams=exams,
        alpha=0.05,
        rate=Span(value=wrong / exams, low=0.005, high=0.018),
        rate_bound=Rate(happened=wrong, cases=exams, bound=0.017),
    )


def example_canary(label: str = "a1b2c3d4", **changes: Any) -> CanaryRow:
    """A model that another process finds as it was; `changes` replace fields."""
    fields: dict[str, Any] = {
        "label": label,
        "seed": 2**62,
        "told": 1 / 3,
        "reloaded": 1 / 3,
        "fresh": 0.01,
        "agrees": True,
        "differs": True,
    }
    return CanaryRow(**{**fields, **changes})
