from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeAlias

import pytest

from palmette.grammar import (
    Effect,
    Language,
    Node,
    Sort,
    check,
    child,
    children,
    gbnf,
    knob,
    node,
    parse,
    unparse,
)

from .toy import TOY, Lin, Pre, sampled

Tree: TypeAlias = tuple[Any, ...]  # ("or" | "and" | "rule" | "text" | "times", ...)
TOKEN = re.compile(r'\s*("(?:\\.|[^"\\])*"|[a-z][a-z0-9-]*|\{\d+,\d+\}|[()|?])')


@dataclass
class Notation:
    """As much of GBNF as the grammar uses: reads rules, recognises and generates texts."""

    rules: dict[str, Tree] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str) -> Notation:
        notation = cls()
        for line in text.splitlines():
            name, body = line.split(" ::= ")
            assert re.fullmatch("[a-z][a-z0-9-]*", name), name
            assert name not in notation.rules, f"{name} is defined twice"
            tokens = TOKEN.findall(body)
            assert "".join(tokens).replace(" ", "") == body.replace(" ", ""), body
            notation.rules[name] = notation._either(tokens)
            assert not tokens
        return notation

    def _either(self, tokens: list[str]) -> Tree:
        ways = [self._sequence(tokens)]
        while tokens and tokens[0] == "|":
            tokens.pop(0)
            ways.append(self._sequence(tokens))
        return ("or", *ways)

    def _sequence(self, tokens: list[str]) -> Tree:
        parts: list[Tree] = []
        while tokens and tokens[0] not in "|)":
            token = tokens.pop(0)
            if token == "(":
                parts.append(self._either(tokens))
                assert tokens.pop(0) == ")"
            elif token == "?":
                parts[-1] = ("times", 0, 1, parts[-1])
            elif token.startswith("{"):
                least, most = map(int, token[1:-1].split(","))
                parts[-1] = ("times", least, most, parts[-1])
            elif token.startswith('"'):
                parts.append(("text", re.sub(r"\\(.)", r"\1", token[1:-1])))
            else:
                parts.append(("rule", token))
        return ("and", *parts)

    def accepts(self, text: str) -> bool:
        @cache
        def ends(tree: Tree, start: int) -> frozenset[int]:
            kind, *parts = tree
            if kind == "text":
                literal = str(parts[0])
                return frozenset({start + len(literal)} if text.startswith(literal, start) else ())
            if kind == "rule":
                return ends(self.rules[parts[0]], start)
            if kind == "or":
                return frozenset().union(*(ends(way, start) for way in parts))
            if kind == "and":
                reached = frozenset({start})
                for part in parts:
                    reached = frozenset().union(*(ends(part, at) for at in reached))
                return reached
            least, most, inner = parts
            reached, found = frozenset({start}), set[int]()
            for number in range(most + 1):
                found |= reached if number >= least else set()
                reached = frozenset().union(*(ends(inner, at) for at in reached))
            return frozenset(found)

        return len(text) in ends(("rule", "root"), 0)

    def generate(self, rng: random.Random, tree: Tree = ("rule", "root")) -> str:
        kind, *parts = tree
        if kind == "text":
            return str(parts[0])
        if kind == "rule":
            return self.generate(rng, self.rules[parts[0]])
        if kind == "or":
            return self.generate(rng, rng.choice(parts))
        if kind == "and":
            return "".join(self.generate(rng, part) for part in parts)
        least, most, inner = parts
        number = rng.randint(least, most)
        return "".join(self.generate(rng, inner) for _ in range(number))


def depth_of(given: Node) -> int:
    return 1 + max(map(depth_of, given.nodes()), default=0)


DEPTH = 6
NOTATION = Notation.read(gbnf(TOY, DEPTH))


def test_the_text_of_genomes_is_accepted_up_to_the_depth() -> None:
    verdicts = []
    for seed in range(150):
        genome = sampled(seed)
        fits = depth_of(genome.root) <= DEPTH
        assert NOTATION.accepts(genome.text) is fits, genome.text
        verdicts.append(fits)
    assert set(verdicts) == {True, False}


def test_generated_texts_are_genomes() -> None:
    rng = random.Random(0)
    notation = Notation.read(gbnf(TOY, 5))
    for _ in range(200):
        text = notation.generate(rng)
        root = parse(text, TOY)
        assert unparse(root) == text
        assert check(root, TOY) == ()
        assert depth_of(root) <= 5


@pytest.mark.parametrize(
    "text",
    [
        "pre(lin())",
        "lm(lin())",
        "lm(pre(mirror()))",
        "lm(pre(lin( )))",
        "lm(pre(lin(erase='none')))",  # the absent value is not written
        "lm(pre(lin(heads=2, erase='beta')))",  # not the order of the fields
        "lm(pre(lin(, heads=2)))",
        "lm(par(lin()))",
        "lm(repeat(5, pre(lin())))",
    ],
)
def test_other_texts_are_not(text: str) -> None:
    assert not NOTATION.accepts(text)


@node
class Any_Of(Node):  # noqa: N801  (a name with an underscore, which GBNF does not have)
    """A field that may be empty, and a knob whose absent value is not causal."""

    sort = Sort.CORE
    parts: tuple[Node, ...] = children(Sort.OPERATOR, least=0, most=2, meaning="any")
    look: str = knob("both", "back", meaning="where", breaks={"both": [Effect.CAUSAL]})
    by_n: int = knob(1, 2, meaning="how many")


@node
class LM(Node):
    """A causal model."""

    sort = Sort.MODEL
    core: Node = child(Sort.CORE, requires=[Effect.CAUSAL], meaning="the trunk")


def test_empty_fields_and_knobs_that_must_be_written() -> None:
    language = Language((LM, Any_Of, Lin, Pre))
    notation = Notation.read(gbnf(language, 3))
    rng = random.Random(1)
    texts = {notation.generate(rng) for _ in range(400)}
    assert "lm(any_of(look='back'))" in texts
    assert "lm(any_of(look='back', by_n=2))" in texts
    assert any(text.startswith("lm(any_of(lin(") for text in texts)
    for text in texts:
        assert unparse(parse(text, language)) == text
    assert not notation.accepts("lm(any_of())")
    assert not notation.accepts("lm(any_of(by_n=2))")


def test_too_little_depth_is_said() -> None:
    with pytest.raises(ValueError, match="a Model does not fit into depth 2; allow more"):
        gbnf(TOY, 2)
