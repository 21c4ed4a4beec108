"""The typed language of architectures: reading, printing, canonical form. No torch."""

from palmette.grammar.canonical import canonical
from palmette.grammar.genome import Genome
from palmette.grammar.language import Language
from palmette.grammar.node import Node, child, children, count, effects, knob, node
from palmette.grammar.rules import check
from palmette.grammar.syntax import parse, signature, unparse
from palmette.grammar.types import Effect, Effects, Sort, Value

__all__ = [
    "Effect",
    "Effects",
    "Genome",
    "Language",
    "Node",
    "Sort",
    "Value",
    "canonical",
    "check",
    "child",
    "children",
    "count",
    "effects",
    "knob",
    "node",
    "parse",
    "signature",
    "unparse",
]
