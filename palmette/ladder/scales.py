"""Scales and rungs: how large, how long and how often a genome is trained before it is believed.

A scale is a Python recipe: a function that returns a frozen `Scale`; a variant calls it and
replaces fields. `--scale` is the one dial that a user turns.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from palmette.errors import UnknownNameError


@dataclass(frozen=True)
class Rung:
    """One level of the ladder.

    parameters         all trainable scalars, to within 2 %
    tokens             tokens to train on
    length             t of a training sequence; `batch_size` such sequences a step
    rates              learning rates a genome gets here: the sweep's on the first rung, then the
                       best of the rung before
    seeds              fresh seeds for each rate
    scored             the tasks whose scores make up fitness here
    evaluated          the tasks that are measured here; those not scored are only reported
    expected_seconds   of one trial on one core, until the campaign has measured its own
    """

    name: str
    parameters: int
    tokens: int
    batch_size: int
    length: int
    evaluation_tokens: int
    rates: int
    seeds: int
    scored: tuple[str, ...]
    evaluated: tuple[str, ...]
    expected_seconds: float

    @property
    def digest(self) -> str:
        """SHA-256 of what decides this rung's numbers, as hex."""
        decisive = {k: v for k, v in asdict(self).items() if k != "expected_seconds"}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Scale:
    """A ladder with everything that a campaign needs to climb it.

    learning_rates     the sweep that every genome and baseline gets on the first rung
    rate_factor        the step by which a sweep goes on when its optimum is at the edge
    extensions         how many such steps at most
    gate               a competitor whose first trial, at the middle rate, is in this worst share of
                       those before it gets no further rate; 0 sweeps everybody
    eta                one in `eta` is promoted (asynchronous successive halving)
    patience           first-rung results to wait for before the first promotion
    least              how many found genomes the last rung gets in any case
    placebo_every      every so-manieth proposal is the root under another name and other seeds
    islands            parts of the population that breed apart
    flops_limit        forward FLOPs a token at most, as a multiple of the costliest one's
                       among root and baselines
    """

    name: str
    rungs: tuple[Rung, ...]
    suite: str
    learning_rates: tuple[float, ...]
    rate_factor: float
    extensions: int
    eta: int
    patience: int
    least: int
    placebo_every: int
    islands: int
    flops_limit: float
    baselines: tuple[str, ...]
    gate: float = 0.0

    @property
    def digest(self) -> str:
        """SHA-256 of the whole ladder, as hex."""
        parts = [rung.digest for rung in self.rungs]
        parts.append(repr((self.learning_rates, self.rate_factor, self.extensions, self.eta)))
        if self.gate:
            parts.append(f"gate {self.gate!r}")
        return hashlib.sha256("".join(parts).encode()).hexdigest()

    def number(self, rung: str) -> int:
        """The position of a rung, counted from 0."""
        return [r.name for r in self.rungs].index(rung)


ABLE = (
    "text", "recall", "noisy_recall", "fuzzy_recall", "overwriting", "copying", "compression",
)  # fmt: skip
"""The tasks of the suite `wide` that tell genomes apart (docs/calibration.md)."""
HUMAN_BASELINES = ("gpt2", "llama", "deltanet", "gated_deltanet", "mamba2", "hybrid")
"""Names of the atlas that every campaign trains under the same rule as what it finds."""


def pocket() -> Scale:
    """Ten minutes on two laptop cores; about 1,000 worker-seconds.

    Chosen from the calibration (docs/calibration.md). Text alone: a model of this size has not the
    tokens for the abilities of `wide`, and two-seed means of text order 60 genomes at the first
    rung as at the second (Spearman 0.93 [0.88, 0.96]), 30 at the second as at the third (0.96).
    With eta 3 the best of those 30 is kept with probability 0.93 [0.46, 1.00]. A sweep goes on if
    its middle rate is in the better half of those before: that saves 38 % [31, 46] of the sweeps'
    work and stops 2 % [0, 5] of the best quarter. No genome over twice the FLOPs of the costliest
    human design was in the best quarter.
    """
    first = Rung(
        name="1",
        parameters=42_000,
        tokens=114_688,
        batch_size=4,
        length=128,
        evaluation_tokens=16_384,
        rates=3,
        seeds=1,
        scored=("text",),
        evaluated=("text",),
        expected_seconds=1.4,
    )
    return Scale(
        name="pocket",
        rungs=(
            first,
            replace(
                first,
                name="2",
                parameters=84_000,
                tokens=229_376,
                rates=2,
                expected_seconds=4.0,
            ),
            replace(
                first,
                name="3",
                parameters=168_000,
                tokens=458_752,
                rates=1,
                seeds=2,
                expected_seconds=12.0,
            ),
        ),
        suite="text",
        learning_rates=(7e-3, 1.5e-2, 3e-2),
        rate_factor=2.0,
        extensions=2,
        eta=3,
        patience=8,
        least=3,
        placebo_every=10,
        islands=4,
        flops_limit=2.0,
        baselines=HUMAN_BASELINES,
        gate=0.5,
    )


def seedling() -> Scale:
    """A minute, to see the machinery turn: too little training to rank anything."""
    scale = pocket()
    small = [
        replace(rung, parameters=p, tokens=t, evaluation_tokens=4_096,
                expected_seconds=s)
        for rung, p, t, s in zip(
            scale.rungs, (16_000, 20_000, 24_000), (8_192, 12_288, 16_384), (0.3, 0.4, 0.5),
            strict=True,
        )
    ]  # fmt: skip
    return replace(
        scale, name="seedling", rungs=tuple(small), patience=3, least=1, extensions=0,
        placebo_every=5, islands=2, baselines=("gpt2", "gated_deltanet"), gate=0.0,
    )  # fmt: skip


def evening() -> Scale:
    """Two hours on two laptop cores: pocket's upper two rungs, on text with nine abilities.

    Text does not stand for abilities: at pocket's first rung it foretells their mean at the third
    by Spearman 0.38 [0.01, 0.66], and so does the mixture there, 0.42 [0.05, 0.68]; from its second
    rung on the mixture does by 0.75 [0.50, 0.88] over 30 genomes, 0.82 [0.61, 0.95] but for seed
    noise (docs/calibration.md). So there are two rungs. What counts are the tasks that tell genomes
    apart, each by its share of chance: weighed by the spread between genomes they say no more.
    """
    scale = pocket()
    rungs = [
        replace(
            rung,
            name=name,
            rates=rates,
            scored=ABLE,
            evaluated=ABLE,
        )
        for rung, name, rates in zip(scale.rungs[1:], "12", (3, 1), strict=True)
    ]
    return replace(scale, name="evening", rungs=tuple(rungs), suite="wide")


def laptop() -> Scale:
    """Half a day on a laptop: models four times as large, eight times the tokens.

    That is enough for abilities beside text, so they count. Not calibrated.
    """
    return _larger(pocket(), "laptop", 4, 8)


def workstation() -> Scale:
    """Days on a workstation: models sixteen times as large, thirty-two times the tokens."""
    return _larger(pocket(), "workstation", 16, 32)


def _larger(scale: Scale, name: str, sizes: int, tokens: int) -> Scale:
    rungs = [
        replace(
            rung,
            parameters=rung.parameters * sizes,
            tokens=rung.tokens * tokens,
            batch_size=16,
            length=256,
            evaluation_tokens=rung.evaluation_tokens * 4,
            scored=ABLE,
            evaluated=ABLE,
            expected_seconds=rung.expected_seconds * sizes * tokens,
        )
        for rung in scale.rungs
    ]
    rates = tuple(rate / sizes**0.5 for rate in scale.learning_rates)
    return replace(scale, name=name, rungs=tuple(rungs), learning_rates=rates, suite="wide")


SCALES: dict[str, Callable[[], Scale]] = {
    recipe.__name__: recipe for recipe in (seedling, pocket, evening, laptop, workstation)
}


def scale(name: str) -> Scale:
    """The recipe of this name, made.

    Raises `UnknownNameError` for a name that is not there.

    >>> [rung.parameters for rung in scale("pocket").rungs]
    [42000, 84000, 168000]
    """
    if name not in SCALES:
        raise UnknownNameError("scale", name, SCALES)
    return SCALES[name]()
