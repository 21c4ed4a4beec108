"""A form in which a model may propose: what it is shown, how it is held, how it is read and judged.

All forms have the same parents and the same task in the same words, as far as a form allows.
Readers are kind: of an answer in free form any part counts that can be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import palmette
from palmette.designer.endpoint import Message, Shape
from palmette.designer.session import UnreadableError
from palmette.gates import Subject, check
from palmette.grammar import Genome
from palmette.grammar.types import Effect
from palmette.model import build_at
from palmette.ops._base import Place

PARENTS = {  # a file in `parents/`, and the same idea in the language
    "attention": "stack(pre(attn(heads=1, bias=True)), pre(glu()))",
    "convolution": "stack(pre(conv()), pre(glu()))",
    "linear_attention": "stack(pre(lin()), pre(glu()))",
    "delta_rule": "stack(pre(lin(erase='beta')), pre(glu()))",
}
SYSTEM = "You design neural networks. Answer with what is asked for and nothing else."
TASK = "that is likely to make a better language model. Change at least one thing."
WIDTH, VOCABULARY, CONTEXT = 24, 32, 2048  # at which gates are executed, with one layer


@dataclass(frozen=True)
class Form:
    """One way to propose.

    show         the prompt about a parent
    read         what an answer proposes, in words that tell it from others; raises
                 `UnreadableError` with all that is wrong with it, failed gates included
    shape        what a server may hold answers to
    most_tokens  of an answer
    told         whether a model is shown what was wrong with its answer; if not it is asked afresh
    """

    name: str
    show: Callable[[str], str]
    read: Callable[[str, str], str]
    shape: Callable[[str], Shape | None]
    most_tokens: int
    told: bool = False

    def messages(self, parent: str) -> tuple[Message, ...]:
        """The conversation's beginning."""
        return Message("system", SYSTEM), Message("user", self.show(parent))


def free(parent: str) -> None:
    """The shape of answers that nothing holds."""
    return


@cache
def genome(parent: str) -> Genome:
    """A parent in the language."""
    return palmette.parse(PARENTS[parent])


@cache
def failed_gates(child: Genome) -> tuple[str, ...]:
    """What the gates of a causal model say against a genome, one layer deep and 24 wide."""
    place = Place(width=WIDTH, depth=1, hidden=1.0, vocabulary=VOCABULARY, context=CONTEXT)
    subject = Subject(
        make=lambda: build_at(child, place, seed=0),
        takes="ids",
        width=WIDTH,
        vocabulary=VOCABULARY,
        promises=frozenset({Effect.CAUSAL}),
    )
    return tuple(f"gate {own.gate}: {own.detail}" for own in check(subject) if own.passed is False)


def judged(child: Genome, parent: str) -> str:
    """The text of a genome that is valid: another than its parent, and it passes the gates.

    Raises `UnreadableError` for any other.
    """
    if child == genome(parent):
        raise UnreadableError(["it is the parent again: propose another architecture"])
    if faults := failed_gates(child):
        raise UnreadableError(faults)
    return child.text
