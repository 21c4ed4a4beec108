"""The table of a study's arms, column by column: for the screen, for Markdown and for the page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from palmette.records import Span, Study, StudyArm
from palmette.report.frame import quantity
from palmette.report.numbers import MISSING, change, correlation, decimals, money, percent, signed


@dataclass(frozen=True)
class Column:
    """A heading, and for each arm what is shown and the number to sort by."""

    name: str
    head: str
    cells: tuple[str, ...]
    values: tuple[float | str | None, ...]

    @property
    def known(self) -> bool:
        """Whether there is anything to tell."""
        return any(cell != MISSING for cell in self.cells)


def study_columns(study: Study) -> tuple[Column, ...]:
    """All columns of the table, the arms' names first."""
    arms = study.arms
    best: list[Span | None] = [arm.best_span for arm in arms]
    digits = decimals([*best, study.noise_best])
    several = len(study.seeds) > 1
    return (
        Column("arm", "arm", *_both(tuple(arm.arm for arm in arms))),
        _changes(study, "gain", "gain", lambda arm: arm.gain),
        _changes(
            study, "against", f"over {study.reference or 'reference'}", lambda arm: arm.against
        ),
        Column(
            "best",
            "best",
            tuple(
                change(arm.best_span, digits) if several else signed(arm.best, digits)
                for arm in arms
            ),
            tuple(arm.best for arm in arms),
        ),
        _changes(study, "per_1000_tokens", "per 1,000 tokens", lambda arm: arm.per_1000_tokens),
        _changes(study, "per_usd", "per USD", lambda arm: arm.per_usd),
        _counts(study, "tokens", lambda arm: arm.tokens, quantity),
        Column("usd", "USD", tuple(money(arm.usd) for arm in arms), tuple(arm.usd for arm in arms)),
        _counts(study, "genomes", lambda arm: arm.genomes),
        _counts(study, "declined", lambda arm: arm.declined),
        _spans(study, "valid", "valid", lambda arm: arm.valid, percent),
        _spans(study, "hits", "held", lambda arm: arm.hits, percent),
        _spans(study, "rating", "rating", lambda arm: arm.agreement, correlation),
    )


def _both(texts: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return texts, texts


def _counts(
    study: Study,
    name: str,
    of: Callable[[StudyArm], int],
    shown: Callable[[float], str] = lambda value: f"{value:,}",
) -> Column:
    values = tuple(of(arm) for arm in study.arms)
    return Column(name, name, tuple(map(shown, values)), values)


def _spans(
    study: Study,
    name: str,
    head: str,
    of: Callable[[StudyArm], Span | None],
    shown: Callable[[Span | None], str],
) -> Column:
    spans = [of(arm) for arm in study.arms]
    return Column(
        name, head, tuple(map(shown, spans)), tuple(span.value if span else None for span in spans)
    )


def _changes(study: Study, name: str, head: str, of: Callable[[StudyArm], Span | None]) -> Column:
    digits = decimals(of(arm) for arm in study.arms)
    return _spans(study, name, head, of, lambda span: change(span, digits))
