"""The proposals of a campaign: whose turn it is, what they come to, and who thinks of the next.

A proposer that does not think is asked when its proposal is wanted. One that thinks is asked ahead,
in a thread, as soon as the last queued trial has been started. In a `steady` campaign there is one
thought at a time, nobody else proposes meanwhile, and what has come is looked at only when nothing
is queued: how long a model takes then decides nothing. Otherwise the others go on, and a thought is
looked at as soon as it comes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from palmette.designer.money import Ledger
from palmette.errors import StorageError
from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.ladder.results import Ascent, ascents, score_at, wanted_specs
from palmette.records import Candidate, Event, Stranger
from palmette.search.archive import Archive, Entry
from palmette.search.book import Book
from palmette.search.candidates import placebo, proposed
from palmette.search.designs import Asked, Designs
from palmette.search.inventions import adopt, language_of
from palmette.search.mixture import Mixture
from palmette.search.novelty import Screen
from palmette.search.proposers import NoProposalError, Proposal, Proposer, Turn
from palmette.search.thinking import Came, Noted, Thinking, fault

DRAWS = 100  # of a proposal, before the language counts as exhausted


class Proposing:
    """Makes the candidates of a campaign, other than its first ones."""

    def __init__(
        self,
        book: Book,
        screen: Screen,
        proposers: Sequence[Proposer],
        language: Language,
        parse: Callable[[str], Genome],
        thinking: Thinking,
        ledger: Ledger | None = None,
        steady: bool = True,
    ) -> None:
        self.book = book
        self.scale = book.setting.scale
        self.screen = screen
        self.language = language
        self.steady = steady
        self.adopted: list[Stranger] = []  # that executors do not know yet
        self.designs = Designs(book)
        self.mixture = Mixture(proposers, self.designs, ledger)
        self._parse = parse
        self._thinking = thinking
        self._arrived: list[Came] = []
        self._genomes: dict[str, Genome] = {}

    @property
    def found(self) -> int:
        """How many genomes have been proposed, placebos aside."""
        return sum(candidate.role == "found" for candidate in self.book.candidates)

    @property
    def thought_of(self) -> int:
        """How many proposals are being thought of or wait to be looked at."""
        return len(self._thinking.numbers) + len(self._arrived)

    @property
    def over(self) -> bool:
        """Whether nobody will propose any more."""
        return self.mixture.over and not self.thought_of

    def receive(self, seconds: float = 0.0) -> None:
        """Keeps what has been thought, waiting at most so long until there is something."""
        if not self._arrived:
            self._thinking.wait(seconds)
        self._take_in(self._thinking.drain())

    def leave(self) -> None:
        """Keeps what has been thought by now, and what calls under way will have cost."""
        self._take_in(self._thinking.leave())

    def _take_in(self, items: Sequence[Noted | Came]) -> None:
        for item in items:
            if isinstance(item, Noted):
                self.designs.keep(item.thought, item.prompt)
            else:
                self._arrived.append(item)

    def settle(self) -> None:
        """Proposals that have come become candidates or are declined."""
        self.receive()
        while self._arrived:
            self._settle(self._arrived.pop(0))

    def next(self, most: int | None) -> None:
        """Queues a proposal's sweep, or has it thought of, if no more than `most` are found then.

        Nothing may be queued.
        """
        self._take_up(most)
        if self.steady and self.thought_of:
            self.settle()
            if self.thought_of or self.book.queued():
                return
        while self._room(most):
            number = self.designs.number()
            if self._placebo_due:
                root = next(c for c in self.book.candidates if c.role == "root")
                self._add(placebo(root, number, self._placebos + 1))
                return
            proposer = self.mixture.turn(number, self._thinking.free > 0)
            if proposer is None:
                return
            if proposer.thinks:
                self._begin(number, proposer)
                if self.steady:
                    return
            elif self._draw(number, proposer):
                return

    def think_ahead(self, most: int | None) -> None:
        """Has the next proposal thought of, if it is the turn of somebody who thinks."""
        self._take_up(most)
        while self._room(most) and not self._placebo_due and not (self.steady and self.thought_of):
            number = self.designs.number()
            proposer = self.mixture.turn(number, self._thinking.free > 0)
            if proposer is None or not proposer.thinks:
                return
            self._begin(number, proposer)

    def archive(self, asked: Asked | None = None) -> Archive:
        """What the proposers may know; `asked` is for one that was asked earlier."""
        climbers: Sequence[Ascent] = self.book.climbers
        thoughts = self.designs.thoughts()
        if asked is not None:
            thoughts = self.designs.thoughts(asked.thoughts)
            then = [
                trial.model_copy(update={"state": "running", "result": None})
                if trial.trial in asked.running
                else trial
                for number, trial in self.book.trials.items()
                if number <= asked.trials
            ]
            climbers = ascents(self.book.candidates[: asked.candidates], then, self.scale)
        entries = []
        for climber in climbers:
            score = score_at(climber, 0, self.scale)
            genome = self._genome(climber.candidate.expression)
            entries.append(Entry(climber.candidate, genome, score.mean if score else None))
        return Archive(tuple(entries), self.language, self.scale.islands, thoughts=thoughts)

    def _room(self, most: int | None) -> bool:
        return most is None or self.found + self.thought_of < most

    @property
    def _placebo_due(self) -> bool:
        """Every so many proposals one is a placebo, whatever became of the others."""
        every = self.scale.placebo_every
        if not every:
            return False
        there = sum(candidate.proposal is not None for candidate in self.book.candidates)
        return (there + 1) // every > self._placebos

    @property
    def _placebos(self) -> int:
        return sum(candidate.role == "placebo" for candidate in self.book.candidates)

    def _begin(self, number: int, proposer: Proposer) -> None:
        island = self.mixture.island(proposer.name)
        asked = self.designs.ask(number, proposer.name, island)
        self._think(asked, proposer, self.archive())

    def _take_up(self, most: int | None) -> None:
        """Has the proposals thought of that were interrupted with an earlier session."""
        under_way = {*self._thinking.numbers, *(came.number for came in self._arrived)}
        for asked in [own for n, own in self.designs.open.items() if n not in under_way]:
            if self._thinking.free and self._room(most):
                proposer = next(own for own in self.mixture.proposers if own.name == asked.proposer)
                self.designs.ask_again(asked)
                self._think(asked, proposer, self.archive(asked))

    def _think(self, asked: Asked, proposer: Proposer, archive: Archive) -> None:
        def reason_against(genome: Genome) -> str | None:
            return self.screen.reason_against(genome, archive.entries)

        rng = random.Random(f"{self.book.setting.seed}/{asked.proposal}/0")
        turn = Turn(asked.island, rng, asked.proposal, reason_against)
        self._thinking.begin(asked.proposal, lambda: proposer.ask(archive, turn))

    def _settle(self, came: Came) -> None:
        asked = self.designs.open[came.number]
        candidate: Candidate | str = came.reason
        if came.proposal is not None:
            try:
                candidate = self._judged(came.proposal, asked)
            except StorageError:
                raise
            except Exception as error:  # of a genome that nobody has looked at before
                candidate = fault(error)
        if isinstance(candidate, Candidate):
            self._add(candidate)
            self.designs.came(asked)
        else:
            self._decline(replace(came, reason=candidate), asked.proposer)

    def _judged(self, proposal: Proposal, asked: Asked) -> Candidate | str:
        """A thought's candidate, or what speaks against it by now."""
        reason = self.screen.reason_against(proposal.genome, self.archive().entries)
        if reason is not None:
            return reason
        for stranger in proposal.strangers:
            adopt(self.book.campaign, stranger)
            self.language = language_of(self.book.campaign)
            self.adopted.append(stranger)
        return self._candidate(proposal, asked.proposal, asked.proposer, asked.island)

    def _decline(self, came: Came, name: str) -> None:
        self.designs.decline(came.number, name, came.reason, came.failing)
        self.mixture.came_to_nothing(came, name)

    def _draw(self, number: int, proposer: Proposer) -> bool:
        """Queues a proposal that is new, fits and is affordable; False if none was drawn."""
        archive = self.archive()
        island = self.mixture.island(proposer.name)
        rejected: Counter[str] = Counter()
        for draw in range(DRAWS):
            rng = random.Random(f"{self.book.setting.seed}/{number}/{draw}")
            try:
                proposal = proposer.ask(archive, Turn(island, rng, number))
            except NoProposalError as error:
                came = Came(number, reason=str(error), lasting=error.lasting)
                self._decline(came, proposer.name)
                return False
            reason = self.screen.reason_against(proposal.genome, archive.entries)
            if reason is None:
                self._add(self._candidate(proposal, number, proposer.name, island), rejected)
                return True
            rejected[reason] += 1
        why = ", ".join(f"{times} {reason}" for reason, times in sorted(rejected.items()))
        self.mixture.ended[proposer.name] = f"of {DRAWS} draws none is worth a trial: {why}"
        self.book.note("proposals exhausted", proposal=number, rejected=dict(rejected))
        return False

    def _add(self, candidate: Candidate, rejected: Counter[str] | None = None) -> None:
        """A candidate with its sweep, in one transaction."""
        events = []
        if rejected:
            detail = {"proposal": candidate.proposal, "rejected": dict(sorted(rejected.items()))}
            now = self.book.elapsed
            events.append(Event(seconds=now, kind="draws rejected", detail=detail))
        self.book.add(candidate, wanted_specs(Ascent(candidate), 0, self.book.setting), events)

    def _candidate(self, proposal: Proposal, number: int, proposer: str, island: int) -> Candidate:
        self._genomes[proposal.genome.text] = proposal.genome
        return proposed(proposal, self.screen, number, proposer, island)

    def _genome(self, expression: str) -> Genome:
        if expression not in self._genomes:
            self._genomes[expression] = self._parse(expression)
        return self._genomes[expression]
