"""The typed language of architectures: text, canonical form, samples, edits. No torch."""

from palmette.grammar.canonical import canonical
from palmette.grammar.change import KINDS, Edited, Kind
from palmette.grammar.distance import distance
from palmette.grammar.edit import edit, graft
from palmette.grammar.gbnf import gbnf
from palmette.grammar.genome import Genome
from palmette.grammar.json_gbnf import json_gbnf
from palmette.grammar.language import Language
from palmette.grammar.node import Node, child, children, count, effects, knob, node
from palmette.grammar.revision import numbered, revise
from palmette.grammar.revision_schema import answer_schema, revision_gbnf, revision_schema
from palmette.grammar.rules import check
from palmette.grammar.sample import sample, sample_genome
from palmette.grammar.schema import from_json, json_schema, to_json
from palmette.grammar.syntax import parse, signature, unparse
from palmette.grammar.types import Effect, Effects, Sort, Value

__all__ = [
    "KINDS",
    "Edited",
    "Effect",
    "Effects",
    "Genome",
    "Kind",
    "Language",
    "Node",
    "Sort",
    "Value",
    "answer_schema",
    "canonical",
    "check",
    "child",
    "children",
    "count",
    "distance",
    "edit",
    "effects",
    "from_json",
    "gbnf",
    "graft",
    "json_gbnf",
    "json_schema",
    "knob",
    "node",
    "numbered",
    "parse",
    "revise",
    "revision_gbnf",
    "revision_schema",
    "sample",
    "sample_genome",
    "signature",
    "to_json",
    "unparse",
]
