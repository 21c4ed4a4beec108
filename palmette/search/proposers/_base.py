"""What a proposer is: a function from what the campaign knows to the next genome.

A proposer keeps no state of its own. `ask` sees the archive, which holds every result so far, and
draws from a generator that belongs to the number of the proposal; so a campaign that was killed
goes on exactly where it was, and telling a proposer of a result is adding it to the archive.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from palmette.grammar.genome import Genome
from palmette.records import Prediction
from palmette.search.archive import Archive


@dataclass(frozen=True)
class Proposal:
    """A genome with the edge that leads to it.

    `parents` are hashes, the one that was edited first. `edit` is the kind of edit, `edit_text`
    what changed. `prediction` is about the first rung's score against the parent's.
    """

    genome: Genome
    parents: tuple[str, ...]
    edit: str
    edit_text: str
    motivation: str
    prediction: Prediction | None


class Proposer(ABC):
    """Makes genomes from what a campaign has learned. One concrete class a file."""

    name: ClassVar[str]

    @abstractmethod
    def ask(self, archive: Archive, island: int, rng: random.Random) -> Proposal:
        """The next genome for an island. The campaign asks again if it is not new."""

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]
