"""A fair comparison of a few genomes: equal sizes, tokens, sweeps and seeds, paired by seed.

The learning rate of each genome is chosen on a seed of its own and then frozen; the figures come
from fresh seeds, the same for all. It runs on the campaign's machinery as a ladder of two rungs of
one size: a sweep, then the seeds. Results are kept, so the same command continues it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from palmette.ladder.results import Ascent, score_at, wanted_specs
from palmette.ladder.scales import Scale
from palmette.ladder.statistics import Estimate, mean_interval
from palmette.records import CompareRow, StoredTrial, Stranger, TrialResult
from palmette.search.book import Book
from palmette.search.packing import companions

SEEDS = "seeds"  # the rung whose figures count
UNEQUAL = 1.05  # training FLOPs over the reference's, above which they are not called equal


def duel(scale: Scale, rung: int, seeds: int) -> Scale:
    """The two-rung ladder on which genomes are compared at a scale's rung (counted from 0)."""
    size = scale.rungs[rung]
    grid = len(scale.learning_rates)
    sweep = replace(size, name="sweep", rates=grid, seeds=1)
    return replace(
        scale,
        rungs=(sweep, replace(size, name=SEEDS, rates=1, seeds=seeds)),
        placebo_every=0,
        baselines=(),
    )


def comparison_name(hashes: Sequence[str], scale: Scale) -> str:
    """The name under which a comparison is kept: a digest of the genomes and the ladder."""
    text = "/".join((*hashes, scale.digest))
    return "compare-" + hashlib.sha256(text.encode()).hexdigest()[:10]


class Comparison:
    """Schedules the sweep of each genome, then its seeds."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def ask(self) -> StoredTrial | None:
        """The next trial, marked as running; None if there is nothing to do just now."""
        for climber in self.book.climbers:
            if climber.reached == 0 and score_at(climber, 0, self.book.setting.scale):
                self.book.queue(climber, wanted_specs(climber, 1, self.book.setting))
        queued = self.book.queued()
        return self.book.start(queued[0]) if queued else None

    def beside(self, trial: StoredTrial) -> list[StoredTrial]:
        """What is trained together with it, marked as running."""
        return [self.book.start(other) for other in companions(self.book, trial)]

    def attend(self, seconds: float = 0.0) -> bool:
        """Nobody thinks: there is nothing to wait for."""
        return False

    def adopted(self) -> list[Stranger]:
        """Nobody invents."""
        return []

    def close(self) -> None:
        """Nobody thinks: there is nothing to keep."""


def compare_rows(book: Book) -> list[CompareRow]:
    """One row a genome in the order given; differences are to the first, paired by seed.

    A genome whose trials failed is missing here; `failures` says why.
    """
    rows: list[CompareRow] = []
    first = book.climbers[0]
    reference = _values(first, book)
    sized = _result(first) if reference else None
    for climber in book.climbers:
        score = score_at(climber, 1, book.setting.scale) if climber.reached else None
        if score is None:
            continue
        result = _result(climber)
        own = mean_interval(score.values)
        paired = None if climber is first else paired_difference(score.values, reference)
        rows.append(
            CompareRow(
                genome=climber.candidate.genome,
                expression=climber.candidate.expression,
                name=climber.candidate.name,
                score=score.mean,
                low=own.low if own else None,
                high=own.high if own else None,
                difference=paired.value if paired else None,
                difference_low=paired.low if paired else None,
                difference_high=paired.high if paired else None,
                seeds=len(score.values),
                learning_rate=score.learning_rate,
                parameters=result.parameters,
                flops_forward=result.flops_forward,
                state_bytes=result.state_bytes,
                flops_train=result.flops_train,
                matched=matched(result, sized),
                against=_called(first) if climber is not first else None,
            )
        )
    return rows


def longer_rows(book: Book, longer: Book, times: float, genome: str) -> list[CompareRow]:
    """The reference trained for so many times as long, and a genome (hash) against that.

    `book` is the comparison's, `longer` that of the reference alone. Empty where either has failed.
    """
    (alone,) = longer.climbers
    climber = next(one for one in book.climbers if one.candidate.genome == genome)
    reference, values = _values(alone, longer), _values(climber, book)
    own = next((row for row in compare_rows(book) if row.genome == genome), None)
    if reference is None or values is None or own is None:
        return []
    called = f"{_called(alone)} x{times:.2f}"
    paired = paired_difference(values, reference)
    update = {
        "against": called,
        "difference": paired.value if paired else None,
        "difference_low": paired.low if paired else None,
        "difference_high": paired.high if paired else None,
        "matched": matched(_result(climber), _result(alone)),
    }
    (row,) = compare_rows(longer)
    return [row.model_copy(update={"name": called}), own.model_copy(update=update)]


def paired_difference(
    values: Sequence[float], reference: Sequence[float] | None
) -> Estimate | None:
    """values - reference over shared seeds; None without the same seeds on both sides."""
    if reference is None or len(reference) != len(values):
        return None
    return mean_interval([b - a for a, b in zip(reference, values, strict=True)])


def _values(climber: Ascent, book: Book) -> tuple[float, ...] | None:
    score = score_at(climber, 1, book.setting.scale) if climber.reached else None
    return score.values if score else None


def _result(climber: Ascent) -> TrialResult:
    return next(trial.result for trial in climber.at(1) if trial.result is not None)


def _called(climber: Ascent) -> str:
    return climber.candidate.name or climber.candidate.genome[:8]


def matched(own: TrialResult, reference: TrialResult | None) -> str:
    """Whether a genome was trained like the reference: its size, its training FLOPs."""
    faults = [] if own.fits else ["size is over 2 % off"]
    if reference is not None:
        times = own.flops_train / reference.flops_train
        if times > UNEQUAL:
            faults.append(f"{times:.2f} times the training FLOPs")
    return ", ".join(faults) or "yes"


def failures(book: Book) -> list[str]:
    """Why genomes are missing from the rows."""
    return [
        f"{climber.candidate.name or climber.candidate.genome[:8]}: {trial.reason}"
        for climber in book.climbers
        if not climber.reached or score_at(climber, 1, book.setting.scale) is None
        for trial in (*climber.at(0), *climber.at(1))
        if trial.state == "failed"
    ]
