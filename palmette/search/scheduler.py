"""The scheduler of a search: what runs next, decided from what the book holds.

Every decision is a function of the book, and proposal i draws from a generator seeded by (campaign
seed, i). With one worker and a budget in genomes the tree is therefore the same, bit for bit,
however often the campaign was killed on the way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from palmette.designer.money import Ledger
from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.ladder.halving import next_promotion
from palmette.ladder.results import Ascent, wanted_specs
from palmette.records import Candidate, StoredTrial, Stranger
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.novelty import Screen
from palmette.search.packing import companions
from palmette.search.proposers import Proposer
from palmette.search.proposing import Proposing
from palmette.search.thinking import Thinking
from palmette.search.timing import CLOSING_SECONDS, Timing

TO_COME = Candidate(genome="", expression="", role="found")  # of which nothing is known yet


class Scheduler:
    """Promotions first, then what is queued, then a new proposal.

    `parse` turns an expression into a genome.
    """

    def __init__(
        self,
        book: Book,
        screen: Screen,
        proposers: Sequence[Proposer],
        budget: Budget,
        language: Language,
        parse: Callable[[str], Genome],
        workers: int = 1,
        thinking: Thinking | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.book = book
        self.scale = book.setting.scale
        self.budget = budget
        self.workers = workers
        self.ledger = ledger
        steady = workers == 1 and budget.seconds is None
        thinking = thinking or Thinking(workers)
        self.proposing = Proposing(
            book, screen, proposers, language, parse, thinking, ledger, steady
        )

    @property
    def found(self) -> int:
        """How many genomes have been proposed, placebos aside."""
        return self.proposing.found

    def ask(self) -> StoredTrial | None:
        """The next trial to run, marked as running; None if there is nothing to do just now."""
        if not self.proposing.steady:
            self.proposing.settle()
        timing = self._timing()
        over = self._proposals_over(timing)
        self._promote(timing, over)
        if not self.book.queued() and not over:
            self.proposing.next(self.budget.genomes)
            # The last proposal, or nobody has one: who may climb is queued before it is trained,
            # as it would be if this process were killed meanwhile.
            if self._proposals_over(timing):
                self._promote(timing, over=True)
        for trial in self.book.queued():
            if self._in_time(timing.seconds[self.scale.number(trial.spec.rung)]):
                started = self.book.start(trial)
                self._think_ahead(timing)
                return started
        return None

    def beside(self, trial: StoredTrial) -> list[StoredTrial]:
        """What is trained together with a trial that has been asked for, marked as running."""
        timing = self._timing()
        each = timing.seconds[self.scale.number(trial.spec.rung)]
        own = companions(self.book, trial)
        while own and not self._in_time((1 + len(own)) * each):
            own.pop()
        started = [self.book.start(other) for other in own]
        if started:
            self._think_ahead(timing)
        return started

    def attend(self, seconds: float = 0.0) -> bool:
        """Takes in what is thought, waiting at most so long for it; whether to ask again then."""
        proposing = self.proposing
        if proposing.thought_of:
            proposing.receive(seconds)
        elif proposing.mixture.wakes is None or self.book.queued():
            return False
        else:
            time.sleep(max(0.0, min(seconds, proposing.mixture.wakes - time.monotonic())))
        return not self._proposals_over(self._timing())

    def adopted(self) -> list[Stranger]:
        """The inventions that have joined the language since the last time."""
        held, self.proposing.adopted = self.proposing.adopted, []
        return held

    def close(self) -> None:
        """Keeps what has been thought by now; nobody waits for what is still under way."""
        self.proposing.leave()

    @property
    def ending(self) -> str | None:
        """Why nothing more is proposed, in a sentence; None if that is not so."""
        if not self.proposing.over:
            return None
        told = [f"{name}: {why}" for name, why in self.proposing.mixture.ended.items()]
        return f"nothing more was proposed ({'; '.join(told)})"

    def seconds_left(self) -> float:
        """Until the end of the budget; for one that is not in time a rough guess."""
        if self.budget.seconds is not None:
            return max(0.0, self.budget.seconds - self.book.elapsed)
        timing = self._timing()
        last = len(self.scale.rungs) - 1
        each = sum(timing.of_rung(rung) / self.scale.eta**rung for rung in range(last + 1))
        ahead = timing.committed(self.book.climbers, last)
        if self.budget.genomes is not None:
            more = max(0.0, self.budget.genomes - self.found)
        else:
            count = self._counting
            genome = sum(count.of_rung(rung) / self.scale.eta**rung for rung in range(last + 1))
            more = max(0.0, self._trials_left()) / genome
        return float(ahead + more * each) / self.workers

    def share_spent(self) -> float:
        """How much of the budget is gone, from 0 to 1."""
        if self.budget.seconds is not None:
            return min(1.0, self.book.elapsed / self.budget.seconds)
        if self.budget.genomes is not None:
            return min(1.0, self.found / self.budget.genomes)
        assert self.budget.trials is not None
        return min(1.0, self._ended / self.budget.trials)

    @property
    def _ended(self) -> int:
        return sum(trial.state in ("done", "failed") for trial in self.book.trials.values())

    @property
    def _counting(self) -> Timing:
        """As if every trial took a second: its seconds are trials."""
        return Timing(self.scale, (1.0,) * len(self.scale.rungs))

    def _trials_left(self, more: int = 0) -> float:
        """Trials that nothing is planned for, if so many genomes more are proposed. A sweep that
        goes on past its edge comes on top.
        """
        assert self.budget.trials is not None
        climbers = [*self.book.climbers, *(Ascent(TO_COME) for _ in range(more))]
        ahead = self._counting.committed(climbers, len(self.scale.rungs) - 1)
        return self.budget.trials - self._ended - ahead - more * self._counting.of_rung(0)

    def _think_ahead(self, timing: Timing) -> None:
        """Has the next proposal thought of, if it is needed next."""
        if not self.book.queued() and not self._proposals_over(timing):
            self.proposing.think_ahead(self.budget.genomes)

    def _timing(self) -> Timing:
        return Timing.of(self.scale, list(self.book.trials.values()))

    def _in_time(self, seconds: float) -> bool:
        if self.budget.seconds is None:
            return True
        return self.book.elapsed + seconds <= self.budget.seconds - self._closing

    @property
    def _closing(self) -> float:
        assert self.budget.seconds is not None
        return min(CLOSING_SECONDS, 0.1 * self.budget.seconds)

    def _highest(self, timing: Timing) -> int | None:
        if self.budget.seconds is None:
            return None
        return timing.highest(self.budget.seconds * self.workers)

    def _promote(self, timing: Timing, over: bool) -> None:
        """Queues the trials of whoever may climb."""
        climbers = self.book.climbers
        while promotion := next_promotion(climbers, self.scale, over, self._highest(timing)):
            climber, rung = promotion
            specs = wanted_specs(climber, rung, self.book.setting)
            assert specs, "a promoted candidate has trials to run"
            self.book.queue(climber, specs)

    def _proposals_over(self, timing: Timing) -> bool:
        if self.proposing.over:
            return True
        if self.budget.genomes is not None:
            return self.found >= self.budget.genomes
        if self.budget.trials is not None:
            return self._trials_left(more=1) < 0
        highest = self._highest(timing)
        assert self.budget.seconds is not None
        assert highest is not None
        left = (self.budget.seconds - self._closing - self.book.elapsed) * self.workers
        return left < timing.committed(self.book.climbers, highest) + timing.of_rung(0)
