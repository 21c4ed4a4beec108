"""The knowledge base: short cards of published ideas, and how those that fit a question are found.

A card is a file `palmette/data/knowledge/NAME.md`: a title, the paper, tags, and three sections.

    # Title in plain words
    paper: Authors (year), Title, arXiv NNNN.NNNNN
    tags: recall, recurrence
    ## Trigger
    The pattern, in results or in a genome, at which this helps.
    ## Insight
    The idea, and why it works.
    ## Build
    How to write it: `lin(erase='beta2')`, or what a new primitive would have to compute.

What stands between backticks is an expression of the language. A paper without an arXiv number
leaves the number out, a lesson of an archive the whole line. A card is text for a reader: nothing
in it is ever evaluated, and what it says reaches no score and no gate. A new card is a new file.

Cards are found by BM25 (Robertson and Zaragoza 2009, The Probabilistic Relevance Framework: BM25
and Beyond): a word counts the more often it stands in a card and the rarer it is elsewhere. Where a
model embeds texts, the ranking by the cosine of their vectors is fused with it by reciprocal ranks
(Cormack, Clarke and Buettcher 2009, Reciprocal Rank Fusion Outperforms Condorcet and Individual
Rank Learning Methods).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import TypeAlias

import numpy as np
from bm25s import BM25
from pydantic import BaseModel, ConfigDict

from palmette.errors import UserError


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAGS = _names("""
    attention channel-mixer convolution decay delta-rule depth efficiency embedding evaluation
    experts feature-map gating generalisation heads hybrid induction initialisation length loops
    memory normalisation objective positions recall recurrence residual scale search sparsity
    stability state state-tracking training window
""")
SECTIONS = ("Trigger", "Insight", "Build")
SECTION_WORDS = 150  # at most
CARD_CHARACTERS = 6000  # at most, so that a hostile lesson costs little
QUERY_CHARACTERS = 4000  # what of a longer question is looked up: its beginning
SATURATION = 1.5  # k1 of BM25: from how many times on a word's repetition counts little more
LENGTH_WEIGHT = 0.75  # b of BM25: how much a card's length is held against it
FUSION = 60  # k of reciprocal rank fusion, as published

Embed: TypeAlias = Callable[[str, Sequence[str]], Sequence[Sequence[float]] | None]
"""A vector of a question and of each text, in this order, or None where none can be had."""

_PAPER = re.compile(r"\S.* \(\d{4}\), \S((?!, arXiv).)*(, arXiv \d{4}\.\d{4,5})?")
_EXPRESSION = re.compile(r"`([^`]*)`")
_WORD = re.compile(r"[a-z]+[0-9]*|[0-9]+")
_ENDING = re.compile(r"(?<=...)(ations?|ings?|edly|ed|es|s|ly|e)$")
_DOUBLE = re.compile(r"(.)\1$")
_STOP = _names("""
    a about all also an and any are as at be but by can do does each for from has have how if in
    into is it its more my no not of on only or our so than that the their them then there these
    they this to too very was we what when where which while why will with would you
""")


class CardError(UserError):
    """A text that is not a card; `faults` holds all of its faults."""

    def __init__(self, name: str, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(f"card {name}: {fault}" for fault in self.faults))


class Card(BaseModel):
    """A published idea, or a lesson of an archive, which has no paper."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    paper: str | None
    tags: tuple[str, ...]
    trigger: str
    insight: str
    build: str

    @property
    def expressions(self) -> tuple[str, ...]:
        """What `build` writes in the language; parts of genomes of any sort."""
        return tuple(_EXPRESSION.findall(self.build))


def read_card(name: str, text: str, published: bool = True) -> Card:
    """The card that a text holds; without `published` it may have no line for the paper.

    Raises `CardError` with every fault.

    >>> text = "# Erase\\ntags: recall\\n## Trigger\\nA.\\n## Insight\\nB.\\n## Build\\n`lin()`"
    >>> read_card("lesson", text, published=False).expressions
    ('lin()',)
    """
    if len(text) > CARD_CHARACTERS:
        raise CardError(name, [f"wants at most {CARD_CHARACTERS} characters, got {len(text)}"])
    head, *rest = re.split(r"(?m)^## ", text)
    named = [part.partition("\n") for part in rest]
    parts = {title.strip(): body for title, _, body in named}
    lines = [line.partition(" ") for line in head.splitlines()]
    heads = {mark: told.strip() for mark, _, told in lines}
    faults = []
    wanted = ["#", "paper:", "tags:"] if published or "paper:" in heads else ["#", "tags:"]
    if (marks := [mark for mark, _, _ in lines]) != wanted:
        faults.append(f"wants lines that begin with {' '.join(wanted)}, got {' '.join(marks)}")
    if (titles := [title.strip() for title, _, _ in named]) != list(SECTIONS):
        faults.append(f"wants the sections {', '.join(SECTIONS)}, got {', '.join(titles)}")
    faults += _head_faults(heads)
    faults += [fault for part, body in parts.items() for fault in _section_faults(part, body)]
    if faults:
        raise CardError(name, faults)
    return Card(
        name=name,
        title=heads["#"],
        paper=heads.get("paper:"),
        tags=tuple(heads["tags:"].split(", ")),
        **{part.lower(): " ".join(parts[part].split()) for part in SECTIONS},
    )


@cache
def cards() -> tuple[Card, ...]:
    """All cards that ship, by name."""
    folder = files("palmette").joinpath("data", "knowledge")
    found = sorted((file.name, file) for file in folder.iterdir() if file.name.endswith(".md"))
    return tuple(read_card(name.removesuffix(".md"), it.read_text("utf-8")) for name, it in found)


def retrieve(
    query: str, k: int, among: Iterable[Card] | None = None, embed: Embed | None = None
) -> list[tuple[Card, float]]:
    """At most `k` cards that share a word with the question, best first, each with its score.

    `among` are the cards to look through: those that ship, if none are given, or an archive's
    lessons. Of equal scores the earlier card is first. Of a long question the first 4000
    characters count.

    With `embed` a card's score is the sum of 1 / (60 + rank) over the rankings by words and by
    vectors, and a card need share no word; where it returns None the words alone decide.

    >>> [card.name for card, _ in retrieve("parity fails: negative eigenvalues?", 1)]
    ['negative_eigenvalues']
    """
    if k < 1:
        raise ValueError(f"retrieve wants k of at least 1, got {k}")
    held = cards() if among is None else tuple(among)
    if not held:
        return []
    asked = query[:QUERY_CHARACTERS]
    scores = _by_words(words(asked), held)
    vectors = embed(asked, [searched(card) for card in held]) if embed and asked.strip() else None
    if vectors is not None:
        scores = _fused(scores, _cosines(vectors))
    order = sorted(range(len(held)), key=lambda place: (-scores[place], place))
    return [(held[place], scores[place]) for place in order[:k] if scores[place] > 0]


def words(text: str) -> list[str]:
    """The telling words of a text, without the commonest ones and common endings.

    >>> words("The forgetting gates of RWKV-7: normalizes `lin(erase='beta2')`")
    ['forget', 'gat', 'rwkv', '7', 'normalis', 'lin', 'eras', 'beta2']
    """
    plain = text.lower().replace("ize", "ise").replace("izi", "isi").replace("iza", "isa")
    told = [word for word in _WORD.findall(plain) if word not in _STOP]
    return [_DOUBLE.sub(r"\1", _ENDING.sub("", word)) for word in told]


def searched(card: Card) -> str:
    """A card's text as it is searched: the title counts twice."""
    head = [card.title, card.title, card.name.replace("_", " "), card.paper or "", *card.tags]
    return " ".join([*head, card.trigger, card.insight, card.build])


def _by_words(asked: Sequence[str], held: tuple[Card, ...]) -> list[float]:
    """The BM25 score of each card."""
    index = _index(held)
    known = [word for word in asked if word in index.vocab_dict]
    return [float(score) for score in index.get_scores(known)] if known else [0.0] * len(held)


@lru_cache(maxsize=4)
def _index(held: tuple[Card, ...]) -> BM25:
    """The weight of a word is Lucene's, above zero also for words that most of the cards have."""
    index = BM25(k1=SATURATION, b=LENGTH_WEIGHT, method="lucene")
    index.index([list(_words_of(card)) for card in held], show_progress=False)
    return index


@lru_cache(maxsize=4096)
def _words_of(card: Card) -> tuple[str, ...]:
    return tuple(words(searched(card)))


def _cosines(vectors: Sequence[Sequence[float]]) -> list[float]:
    """The cosine of the first vector with each other one."""
    table = np.asarray(vectors, dtype=float)
    lengths = np.linalg.norm(table, axis=1)
    units = table / np.where(lengths > 0, lengths, 1.0)[:, None]
    return [float(cosine) for cosine in units[1:] @ units[0]]


def _fused(*rankings: Sequence[float]) -> list[float]:
    """Reciprocal rank fusion; what a ranking scores at zero or below adds nothing to it."""
    fused = [0.0] * len(rankings[0])
    for scores in rankings:
        order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
        for rank, place in enumerate(order, start=1):
            if scores[place] > 0:
                fused[place] += 1 / (FUSION + rank)
    return fused


def _head_faults(heads: dict[str, str]) -> list[str]:
    faults = []
    if not (title := heads.get("#", "none")) or "`" in title:
        faults.append(f"wants a title without backticks, got {title!r}")
    paper = heads.get("paper:")
    if paper is not None and not _PAPER.fullmatch(paper):
        faults.append(f"wants `Authors (year), Title, arXiv NNNN.NNNNN`, got {paper!r}")
    tags = heads["tags:"].split(", ") if "tags:" in heads else []
    known = ", ".join(sorted(TAGS))
    faults += [f"no tag is called {tag!r}; there are: {known}" for tag in tags if tag not in TAGS]
    return faults + ["wants each tag once"] * (len(set(tags)) < len(tags))


def _section_faults(name: str, text: str) -> list[str]:
    faults = [] if text.strip() else [f"wants text in section {name}, got none"]
    if stray := re.findall(r"(?m)^#.*", text):
        faults.append(f"wants text in section {name}, got the title {stray[0]!r}")
    if (count := len(text.split())) > SECTION_WORDS:
        faults.append(f"wants at most {SECTION_WORDS} words in section {name}, got {count}")
    if name != "Build" and "`" in text:
        faults.append(f"wants expressions in section Build alone, got a backtick in {name}")
    if text.count("`") % 2:
        faults.append(f"wants a second backtick after each first one in section {name}")
    return faults
