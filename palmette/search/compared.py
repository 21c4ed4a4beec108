"""What a comparison says: a row for each genome, with its difference to the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from palmette.ladder.results import Ascent, score_at
from palmette.ladder.statistics import (
    Advantage,
    Carries,
    Difference,
    carries,
    contrast,
    difference_parts,
    equivalent,
    mean_interval,
)
from palmette.records import CompareRow, TrialResult
from palmette.search.book import Book

UNEQUAL = 1.05  # training FLOPs over the reference's, above which they are not called equal
SAME = 0.01  # share of chance: scores that are shown to differ by less are called the same
SIDE = 0.025  # one-sided, as a 95 % interval that excludes a value

Told = Literal["better", "worse", "the same", "not told"]


def compare_rows(book: Book, paired: bool) -> list[CompareRow]:
    """One row a genome in the order given; differences are to the first, seed by seed if `paired`.

    A genome whose trials failed is missing here; `failures` says why.
    """
    first = book.climbers[0]
    reference = _values(first, book)
    sized = _result(first) if reference else None
    rows: list[CompareRow] = []
    for climber in book.climbers:
        score = score_at(climber, 1, book.setting.scale) if climber.reached else None
        if score is None:
            continue
        result = _result(climber)
        own = mean_interval(score.values)
        row = CompareRow(
            genome=climber.candidate.genome,
            expression=climber.candidate.expression,
            name=climber.candidate.name,
            score=score.mean,
            low=own.low if own else None,
            high=own.high if own else None,
            difference=None,
            difference_low=None,
            difference_high=None,
            seeds=len(score.values),
            learning_rate=score.learning_rate,
            parameters=result.parameters,
            flops_forward=result.flops_forward,
            state_bytes=result.state_bytes,
            flops_train=result.flops_train,
            matched=matched(result, sized),
        )
        if climber is not first:
            row = _against(row, score.values, reference, _called(first), paired)
        rows.append(row)
    return rows


def longer_rows(
    book: Book, longer: Book, times: float, genome: str, paired: bool
) -> list[CompareRow]:
    """The reference trained for so many times as long, and a genome (hash) against that.

    `book` is the comparison's, `longer` that of the reference alone. Empty where either has failed.
    """
    (alone,) = longer.climbers
    climber = _climber(book, genome)
    reference, values = _values(alone, longer), _values(climber, book)
    own = next((row for row in compare_rows(book, paired) if row.genome == genome), None)
    if reference is None or values is None or own is None:
        return []
    called = f"{_called(alone)} x{times:.2f}"
    own = own.model_copy(update={"matched": matched(_result(climber), _result(alone))})
    (row,) = compare_rows(longer, paired)
    return [
        row.model_copy(update={"name": called}),
        _against(own, values, reference, called, paired),
    ]


def carried(first: Book, last: Book, genome: str, paired: tuple[bool, bool]) -> Carries:
    """Whether what a genome (hash) is ahead of the reference carries from one rung to another."""
    return carries(_ahead(first, genome, paired[0]), _ahead(last, genome, paired[1]))


def told(a: Sequence[float], b: Sequence[float], paired: bool) -> Told:
    """What the 95 % interval of a - b says by itself.

    >>> told([0.5, 0.6, 0.5], [0.1, 0.1, 0.2], paired=False)
    'better'
    >>> told([0.5, 0.6, 0.5], [0.4, 0.6, 0.5], paired=True)
    'not told'
    """
    found = contrast(a, b, paired)
    if found is None:
        return "not told"
    if found.low > 0 or found.high < 0:
        return "better" if found.low > 0 else "worse"
    same = equivalent(a, b, SAME, paired, SIDE)
    return "the same" if same and same.holds else "not told"


def _against(
    row: CompareRow,
    values: Sequence[float],
    reference: Sequence[float] | None,
    called: str,
    paired: bool,
) -> CompareRow:
    """The row with its difference to whom it is against; without one if seeds are missing."""
    found: Difference | None = None
    if reference is not None and len(reference) == len(values):
        found = contrast(values, reference, paired)
    if found is None or reference is None:
        return row.model_copy(update={"against": called})
    update = {
        "against": called,
        "difference": found.value,
        "difference_low": found.low,
        "difference_high": found.high,
        "told": told(values, reference, paired),
        "paired": paired,
        "correlation": found.correlation,
    }
    return row.model_copy(update=update)


def _ahead(book: Book, genome: str, paired: bool) -> Advantage | None:
    own, reference = _values(_climber(book, genome), book), _values(book.climbers[0], book)
    if own is None or reference is None or len(own) != len(reference) or len(own) < 2:
        return None
    parts = difference_parts(np.array(own), np.array(reference), paired)
    return Advantage(*map(float, parts))


def _climber(book: Book, genome: str) -> Ascent:
    return next(one for one in book.climbers if one.candidate.genome == genome)


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
