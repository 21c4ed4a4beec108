"""The scheduler of a search: what runs next, decided from what the book holds.

Every decision is a function of the book, and proposal i draws from a generator seeded by (campaign
seed, i). With one worker and a budget in genomes the tree is therefore the same, bit for bit,
however often the campaign was killed on the way.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence

from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.ladder.halving import next_promotion
from palmette.ladder.results import Ascent, score_at, wanted_specs
from palmette.model import cost
from palmette.records import Candidate, Event, StoredTrial
from palmette.search.archive import Archive, Entry
from palmette.search.book import Book
from palmette.search.budget import Budget
from palmette.search.novelty import Screen, fingerprint_of
from palmette.search.proposers import Proposal, Proposer, Turn
from palmette.search.timing import CLOSING_SECONDS, Timing

DRAWS = 100  # of a proposal, before the language counts as exhausted


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
    ) -> None:
        self.book = book
        self.scale = book.setting.scale
        self.screen = screen
        self.proposers = tuple(proposers)
        self.budget = budget
        self.language = language
        self.workers = workers
        self._parse = parse
        self._genomes: dict[str, Genome] = {}
        self._exhausted = False

    @property
    def found(self) -> int:
        """How many genomes have been proposed, placebos aside."""
        return sum(candidate.role == "found" for candidate in self.book.candidates)

    def ask(self) -> StoredTrial | None:
        """The next trial to run, marked as running; None if there is nothing to do just now."""
        climbers = self.book.climbers
        timing = self._timing()
        over = self._proposals_over(climbers, timing)
        while promotion := next_promotion(climbers, self.scale, over, self._highest(timing)):
            climber, rung = promotion
            specs = wanted_specs(climber, rung, self.book.setting)
            assert specs, "a promoted candidate has trials to run"
            self.book.queue(climber, specs)
        if not self.book.queued() and not over:
            self._propose(climbers)
        for trial in self.book.queued():
            if self._in_time(timing.seconds[self.scale.number(trial.spec.rung)]):
                return self.book.start(trial)
        return None

    def archive(self, climbers: Sequence[Ascent] | None = None) -> Archive:
        """What the proposers may know."""
        entries = []
        for climber in self.book.climbers if climbers is None else climbers:
            score = score_at(climber, 0, self.scale)
            genome = self._genome(climber.candidate.expression)
            entries.append(Entry(climber.candidate, genome, score.mean if score else None))
        return Archive(tuple(entries), self.language, self.scale.islands)

    def seconds_left(self) -> float:
        """Until the end of the budget; for a budget in genomes a rough guess."""
        if self.budget.seconds is not None:
            return max(0.0, self.budget.seconds - self.book.elapsed)
        assert self.budget.genomes is not None
        timing = self._timing()
        last = len(self.scale.rungs) - 1
        each = sum(timing.of_rung(rung) / self.scale.eta**rung for rung in range(last + 1))
        ahead = timing.committed(self.book.climbers, last)
        more = max(0, self.budget.genomes - self.found)
        return float(ahead + more * each) / self.workers

    def share_spent(self) -> float:
        """How much of the budget is gone, from 0 to 1."""
        if self.budget.seconds is not None:
            return min(1.0, self.book.elapsed / self.budget.seconds)
        assert self.budget.genomes is not None
        return min(1.0, self.found / self.budget.genomes)

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

    def _proposals_over(self, climbers: Sequence[Ascent], timing: Timing) -> bool:
        if self._exhausted:
            return True
        if self.budget.genomes is not None:
            return self.found >= self.budget.genomes
        highest = self._highest(timing)
        assert self.budget.seconds is not None
        assert highest is not None
        left = (self.budget.seconds - self._closing - self.book.elapsed) * self.workers
        return left < timing.committed(climbers, highest) + timing.of_rung(0)

    def _propose(self, climbers: Sequence[Ascent]) -> None:
        """Draws the next proposal and queues its sweep, in one transaction."""
        number = sum(candidate.proposal is not None for candidate in self.book.candidates)
        every = self.scale.placebo_every
        events: list[Event] = []
        if every and (number + 1) % every == 0:
            candidate = self._placebo(number, (number + 1) // every)
        else:
            drawn, rejected = self._drawn(number, self.archive(climbers))
            if drawn is None:
                self._exhausted = True
                self.book.note("proposals exhausted", proposal=number, rejected=dict(rejected))
                return
            candidate = drawn
            if rejected:
                detail = {"proposal": number, "rejected": dict(sorted(rejected.items()))}
                now = self.book.elapsed
                events.append(Event(seconds=now, kind="draws rejected", detail=detail))
        self.book.add(candidate, wanted_specs(Ascent(candidate), 0, self.book.setting), events)

    def _placebo(self, number: int, replica: int) -> Candidate:
        root = next(c for c in self.book.candidates if c.role == "root")
        return root.model_copy(
            update={
                "role": "placebo",
                "replica": replica,
                "name": f"placebo {replica}",
                "proposal": number,
                "parents": (root.genome,),
                "edit": "placebo",
                "edit_text": "placebo: nothing was changed",
                "motivation": "the root again, under another name and other seeds: the noise floor",
            }
        )

    def _drawn(self, number: int, archive: Archive) -> tuple[Candidate | None, Counter[str]]:
        """A proposal that is new, fits and is affordable, with why earlier draws were not."""
        island = self.found % self.scale.islands
        proposer = self.proposers[self.found // self.scale.islands % len(self.proposers)]
        rejected: Counter[str] = Counter()
        for draw in range(DRAWS):
            rng = random.Random(f"{self.book.setting.seed}/{number}/{draw}")
            proposal = proposer.ask(archive, Turn(island, rng, number))
            reason = self.screen.reason_against(proposal.genome, archive.entries)
            if reason is None:
                return self._candidate(proposal, number, island, proposer.name), rejected
            rejected[reason] += 1
        return None, rejected

    def _candidate(self, proposal: Proposal, number: int, island: int, proposer: str) -> Candidate:
        genome = proposal.genome
        self._genomes[genome.text] = genome
        return describe(genome, self.screen).model_copy(
            update={
                "proposal": number,
                "proposer": proposer,
                "island": island,
                "parents": proposal.parents,
                "edit": proposal.edit,
                "edit_text": proposal.edit_text,
                "motivation": proposal.motivation,
                "prediction": proposal.prediction,
            }
        )

    def _genome(self, expression: str) -> Genome:
        if expression not in self._genomes:
            self._genomes[expression] = self._parse(expression)
        return self._genomes[expression]


def describe(genome: Genome, screen: Screen) -> Candidate:
    """A found candidate with its own figures, at the first rung's size, and without an edge."""
    place = screen.fit(genome).place
    figures = cost(genome, place, screen.scale.rungs[0].length)
    return Candidate(
        genome=genome.hash,
        expression=genome.text,
        role="found",
        parameters=figures.parameters,
        flops_forward=figures.flops_forward,
        state_bytes=figures.state_bytes,
        fingerprint=fingerprint_of(genome),
    )
