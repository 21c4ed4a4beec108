"""A genome: one sentence of the language, in canonical form."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from palmette.grammar.node import Node
from palmette.grammar.syntax import unparse


@dataclass(frozen=True)
class Genome:
    """A canonical tree whose root is a Model. Made by `palmette.parse`; equal if the hash is.

    >>> import palmette
    >>> str(palmette.parse("pre(glu())"))
    'lm(pre(glu()))'
    """

    root: Node

    @cached_property
    def text(self) -> str:
        """The canonical expression."""
        return unparse(self.root)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical expression, as hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Genome) and self.text == other.text
