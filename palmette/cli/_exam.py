"""What `verify` shows: the plan before it begins, a bar while it runs, the verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from palmette.cli._print import duration, number, size
from palmette.exam.league import enters
from palmette.records import Entry, Exam, LedgerRow, Offer, Verdict
from palmette.report.examined import (
    canary_sentence,
    kind_of,
    lead,
    parted,
    placebo_sentence,
    standing,
)
from palmette.search.grow import Update
from palmette.store import Campaign


def show_offer(console: Console, offer: Offer, workers: int) -> None:
    """Who sits, what may be said of whom, the price, the draw and the ledger."""
    last = offer.rungs[-1]
    begun = f", exam {offer.exam}, begun" if offer.exam is not None else ""
    sizes = ", ".join(f"{rung.parameters:,}" for rung in offer.rungs)
    console.print(
        f"[bold]exam[/] of campaign {offer.campaign}{begun}: {sizes} parameters, "
        f"{last.tokens:,} tokens at the last rung",
        highlight=False,
        soft_wrap=True,
    )
    console.print(_sitting(offer.entries))
    console.print(_asked(offer))
    lines = (_unheeded(offer), _price(offer, workers), _tuning(offer), _ledger(offer), _draw(offer))
    for line in lines:
        if line:
            console.print(Text(line), soft_wrap=True)


def _sitting(entries: Sequence[Entry]) -> Table:
    table = _table("who sits", "kind", "parameters", "FLOPs/token", "tokens", "state", "leagues")
    for entry in entries:
        leagues = ["open"]
        if enters(entry, entries, "constant-state"):
            leagues.append("constant-state")
        table.add_row(
            Text(entry.label),
            kind_of(entry),
            f"{entry.parameters:,}",
            number(entry.flops_forward),
            f"x{entry.stretch:.2f}" if entry.stretch != 1 else "x1",
            size(entry.state_bytes),
            ", ".join(leagues),
        )
    return table


def _asked(offer: Offer) -> Table:
    table = _table("hypothesis", "candidate", "league", "claim", "alpha")
    for one in offer.hypotheses:
        row = (str(one.number), one.candidate, one.league, one.claim, f"{one.alpha:.2g}")
        table.add_row(*map(Text, row))
    return table


def _unheeded(offer: Offer) -> str:
    if not offer.unheeded:
        return ""
    return (
        f"exam {offer.exam} stays as it was begun: {'; '.join(offer.unheeded)}; "
        "--fresh-draw begins another"
    )


def _price(offer: Offer, workers: int) -> str:
    price = offer.price
    took = "an unknown time"
    if price.worker_seconds is not None:
        took = f"about {duration(price.worker_seconds / workers)} with {workers} at once"
    seen = "what it can detect is not known beforehand"
    if price.detectable is not None:
        seen = (
            f"against one baseline a difference of {price.detectable:.4f} on the sealed endpoint "
            f"is found with {price.power:.0%} power"
        )
    return (
        f"price: {price.trials:,} trials at most, {took}; up to {price.seeds} seeds, looks after "
        f"{' and '.join(map(str, offer.looks))}; {seen} (noise is known from {price.noise_from})"
    )


def _tuning(offer: Offer) -> str:
    if not offer.tuning_trials:
        return "tuned baselines: none, so a find cannot be called structural"
    return f"tuned baselines: a search over knobs alone, {offer.tuning_trials} trials each"


def _ledger(offer: Offer) -> str:
    return (
        f"ledger: {told_ledger(offer.spent)}; of all that this store ever verifies at most "
        f"{offer.q:.0%} is expected to be false"
    )


def told_ledger(rows: Sequence[LedgerRow]) -> str:
    """What an alpha ledger holds, in a few words."""
    if not rows:
        return "nothing was examined before"
    verified = sum(row.verified is True for row in rows)
    count = "hypothesis" if len(rows) == 1 else "hypotheses"
    return f"{len(rows)} {count} before, {verified} verified"


def _draw(offer: Offer) -> str:
    draw = offer.draw
    if draw is None:
        return "draw: sealed tasks are drawn when the exam begins"
    when = f"opened at {draw.opened_at}" if draw.opened_at else "not opened yet"
    return f"draw: SHA-256 {draw.commitment}, told at {draw.committed_at}, {when}"


class Watch:
    """A bar for every campaign that an exam trains in: those that tune, then the sitting."""

    def __init__(self, console: Console, trials: int, tuning_trials: int) -> None:
        self._console = console
        self._totals = {"tune": tuning_trials, "exam": trials}
        self._ended: Counter[str] = Counter()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Watch:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, campaign: Campaign, update: Update) -> None:
        """Takes in what has ended in one of the campaigns."""
        config = campaign.config
        if config.name not in self._tasks:
            before = sum(trial.state in ("done", "failed") for trial in campaign.trials())
            self._ended[config.name] = before - len(update.finished)
            self._tasks[config.name] = self._bar.add_task(config.name)
            if config.kind == "exam":
                told = f"{config.name}: the draw is open, sealed tasks {config.suite}"
                self._console.print(told, highlight=False, soft_wrap=True)
        self._ended[config.name] += sum(t.state in ("done", "failed") for t in update.finished)
        ended = self._ended[config.name]
        total = max(self._totals.get(config.kind, 0), ended)
        self._bar.update(self._tasks[config.name], completed=ended, total=total)

    def listening(self) -> None:
        """The canary begins."""
        self._bar.add_task("canary: every saved model again, in another process", total=None)


def show_exam(console: Console, exam: Exam) -> None:
    """The verdicts, a sentence each, and how far they can be believed."""
    table = _table("candidate", "league", "claim", "verdict", "p", "alpha", "seeds", "over sizes")
    for one in exam.verdicts:
        asked = one.hypothesis
        p = f"{one.p:.2g}" if one.p is not None else "–"
        row = (asked.candidate, asked.league, asked.claim, standing(one), p, f"{asked.alpha:.2g}")
        style = "green" if one.verified else ""
        table.add_row(*map(Text, row), str(one.seeds), one.carries, style=style)
    console.print(table)
    for one in exam.verdicts:
        console.print(_sentence(one), soft_wrap=True)
    lines = [lead(exam)] if exam.state == "running" else []
    lines += [placebo_sentence(exam.placebo_rate), _nulls(exam), canary_sentence(exam)]
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def _sentence(verdict: Verdict) -> Text:
    first, figures = parted(verdict.sentence)
    told = Text(f"{verdict.hypothesis.number}. {first}", style="bold" if verdict.verified else "")
    return told.append(f" {figures}", style="not bold dim") if figures else told


def _nulls(exam: Exam) -> str:
    nulls = exam.nulls
    if nulls is None:
        return "No exam has been resampled from the residuals."
    rate = nulls.rate
    return (
        f"Of {nulls.exams:,} exams resampled with nothing to find "
        f"{nulls.rate_bound.happened} verified something: {100 * rate.value:.2f} % "
        f"[{100 * rate.low:.2f}, {100 * rate.high:.2f}], promised {100 * nulls.alpha:.2g} % at "
        "most."
    )


def _table(*heads: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for head in heads:
        right = head in ("parameters", "FLOPs/token", "state", "alpha", "p", "seeds", "tokens")
        table.add_column(head, justify="right" if right else "left", no_wrap=True)
    return table
