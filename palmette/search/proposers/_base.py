"""What a proposer is: a function from what the campaign knows to the next genome.

A proposer keeps no state of its own. `ask` sees the archive, which holds every result so far, and
draws from a generator that belongs to the number of the proposal; so a campaign that was killed
goes on exactly where it was, and telling a proposer of a result is adding it to the archive.

A proposer that thinks asks language models, which takes as long as it takes: its `ask` runs in a
thread of its own while the campaign goes on.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Self

from palmette.designer.session import Studio
from palmette.errors import PalmetteError, UserError
from palmette.grammar.genome import Genome
from palmette.records import Prediction, Stranger
from palmette.search.archive import Archive


@dataclass(frozen=True)
class Proposal:
    """A genome with the edge that leads to it.

    `parents` are hashes, the one that was edited first. `edit` is the kind of edit, `edit_text`
    what changed. `prediction` is about the first rung's score against the parent's. `strangers` are
    inventions that the genome has parts of and the campaign does not know yet.
    """

    genome: Genome
    parents: tuple[str, ...]
    edit: str
    edit_text: str
    motivation: str
    prediction: Prediction | None
    strangers: tuple[Stranger, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One call of a proposer: for proposal `number` on an island, with a generator of its own.

    `reason_against` says why a genome would get no trial, or None. Nobody has to ask it: the
    campaign does, and asks a proposer that does not think again.
    """

    island: int
    rng: random.Random
    number: int = 0
    reason_against: Callable[[Genome], str | None] = lambda genome: None


class NoProposalError(PalmetteError):
    """A proposer has nothing to propose this time. `lasting` if it will not have any more."""

    def __init__(self, told: str, lasting: bool = False) -> None:
        self.lasting = lasting
        super().__init__(told)


class Proposer(ABC):
    """Makes genomes from what a campaign has learned. One concrete class a file."""

    name: ClassVar[str]
    thinks: ClassVar[bool] = False  # asks language models

    @classmethod
    def make(cls, studio: Studio | None) -> Self:
        """The proposer; one that thinks needs the studio that designers work in.

        Raises `UserError` if it is missing.
        """
        if not cls.thinks:
            return cls()
        if studio is None:
            raise UserError(f"the proposer {cls.name} asks a language model, and none was named")
        return cls(studio)  # type: ignore[call-arg]

    @abstractmethod
    def ask(self, archive: Archive, turn: Turn) -> Proposal:
        """The next genome for the turn's island. Raises `NoProposalError`."""

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]
