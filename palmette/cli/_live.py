"""What `grow` shows while it runs: progress, the best so far with its noise band, the time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, RenderableType
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from palmette.cli._designer import told_thinking
from palmette.ladder.ranking import highest, noise_at
from palmette.ladder.results import Ascent, score_at
from palmette.ladder.statistics import best_of
from palmette.records import StoredTrial
from palmette.search.grow import Update
from palmette.search.scheduler import Scheduler

REFRESH_SECONDS = 1.0
PLAIN_SECONDS = 30.0  # between lines where the output is not a terminal


class Live:
    """A display that refreshes in place on a terminal and prints a line now and then elsewhere."""

    def __init__(self, console: Console, scheduler: Scheduler) -> None:
        self._console = console
        self._scheduler = scheduler
        self._began = scheduler.book.elapsed
        self._ended = 0
        self._drawn = 0.0
        self._screen = Screen(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Live:
        if self._screen:
            self._screen.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._screen:
            self._screen.update(self._picture(()), refresh=True)
            self._screen.stop()
        elif kind is None:
            self._console.print(self._line(), highlight=False, soft_wrap=True)

    def update(self, update: Update) -> None:
        """Takes in what happened; draws if enough time has passed."""
        self._ended += len(update.finished)
        pause = REFRESH_SECONDS if self._screen else PLAIN_SECONDS
        if time.monotonic() - self._drawn < pause:
            return
        self._drawn = time.monotonic()
        if self._screen:
            self._screen.update(self._picture(update.running), refresh=True)
        else:
            self._console.print(self._line(), highlight=False, soft_wrap=True)

    def _picture(self, running: tuple[StoredTrial, ...]) -> RenderableType:
        scheduler = self._scheduler
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim")
        grid.add_column()
        bar = ProgressBar(total=1.0, completed=scheduler.share_spent(), width=36)
        spent = Table.grid(padding=(0, 1))
        spent.add_row(bar, f"{scheduler.budget}, {self._left()} left")
        grid.add_row("budget", spent)
        grid.add_row("genomes", f"{scheduler.found} found, {self._counts()}")
        grid.add_row("trials", f"{self._done()} done, {self._rate():.0f} an hour")
        if thinking := told_thinking(scheduler):
            grid.add_row("designers", Text(thinking))
        for line in self._best():
            grid.add_row("best", line)
        for trial in running:
            spec = trial.spec
            text = Text(f"rung {spec.rung}  rate {spec.learning_rate:g}  {spec.expression}")
            text.truncate(max(20, self._console.width - 14), overflow="ellipsis")
            grid.add_row("running", text)
        return grid

    def _line(self) -> str:
        best = self._best()
        thinking = told_thinking(self._scheduler)
        return (
            f"{self._minutes(self._scheduler.book.elapsed)}  {self._scheduler.found} genomes, "
            f"{self._done()} trials ({self._rate():.0f}/h), {self._left()} left"
            + (f"; designers: {thinking}" if thinking else "")
            + (f"; best {best[0]}" if best else "")
        )

    def _best(self) -> list[str]:
        """The best found genome of each rung, the root, and the best of as many noise draws."""
        scheduler = self._scheduler
        climbers = scheduler.book.climbers
        lines = []
        for rung in range(len(scheduler.scale.rungs) - 1, -1, -1):
            found = self._scored(climbers, rung, ("found",))
            if not found:
                continue
            value, best = max(found, key=lambda item: item[0])
            root = self._scored(climbers, rung, ("root",))
            line = f"rung {rung + 1}: {best.candidate.genome[:8]} {value:.4f}"
            if root:
                line += f", root {root[0][0]:.4f}"
                noise = noise_at(climbers, rung, scheduler.scale)
                if noise is not None:
                    mean = noise.of_mean(scheduler.scale.rungs[rung].seeds)
                    band = best_of(len(found), root[0][0], mean)
                    line += f", best of {len(found)} noise draws {band.low:.4f} to {band.high:.4f}"
            lines.append(line)
        return lines

    def _scored(
        self, climbers: list[Ascent], rung: int, roles: tuple[str, ...]
    ) -> list[tuple[float, Ascent]]:
        scale = self._scheduler.scale
        scores = [(score_at(a, rung, scale), a) for a in climbers if a.candidate.role in roles]
        return [(score.mean, a) for score, a in scores if score is not None]

    def _counts(self) -> str:
        reached = [
            highest(climber, self._scheduler.scale) for climber in self._scheduler.book.climbers
        ]
        parts = [
            f"{sum(top is not None and top[0] >= rung for top in reached)} past rung {recipe.name}"
            for rung, recipe in enumerate(self._scheduler.scale.rungs)
        ]
        return ", ".join(parts)

    def _done(self) -> int:
        return sum(trial.state == "done" for trial in self._scheduler.book.trials.values())

    def _rate(self) -> float:
        hours = (self._scheduler.book.elapsed - self._began) / 3600
        return self._ended / hours if hours > 0 else 0.0

    def _left(self) -> str:
        about = "" if self._scheduler.budget.seconds is not None else "about "
        return about + self._minutes(self._scheduler.seconds_left())

    @staticmethod
    def _minutes(seconds: float) -> str:
        return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
