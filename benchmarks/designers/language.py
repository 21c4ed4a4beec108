"""Proposals in the language: as its text, and as JSON edits with and without a schema."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import palmette
from benchmarks.designers.form import PARENTS, TASK, Form, free, genome, judged
from palmette.designer.endpoint import Shape
from palmette.designer.menu import described, menu
from palmette.designer.reading import read_json
from palmette.designer.session import UnreadableError
from palmette.errors import GenomeError
from palmette.grammar import Genome
from palmette.grammar.language import Language
from palmette.grammar.revision import Move, numbered, revise
from palmette.grammar.revision_schema import revision_schema
from palmette.grammar.syntax import unparse

DEPTH = 3  # nodes of what an edit puts in
MOVES: tuple[Move, ...] = ("replace", "insert", "prune", "tune")
EDITS = """{"move": "replace", "at": PLACE, "new": NODE}
{"move": "insert", "at": PLACE, "side": "before" or "after", "new": NODE}
{"move": "prune", "at": PLACE}
{"move": "tune", "at": PLACE, "knob": NAME, "value": VALUE}
A NODE is {"node": NAME, ...} with the parts as fields."""


@cache
def parts() -> Language:
    """The part of the language that prompts show: what the parents are made of.

    It is the same for all, so that a server has to read it once.
    """
    keep = {type(node) for parent in PARENTS for _, node in genome(parent).root.walk()}
    return menu(palmette.language(), keep, most=len(keep))


def show_text(parent: str) -> str:
    return (
        "Architectures of language models are written with these parts:\n\n"
        f"{described(parts())}\n\nThis is one:\n\n{genome(parent).text}\n\n"
        f"Write another architecture {TASK} Answer with one expression."
    )


def show_edit(parent: str) -> str:
    places = [f"{name}: {unparse(site.node)}" for name, site in numbered(genome(parent).root)]
    return (
        "Architectures of language models are written with these parts:\n\n"
        f"{described(parts())}\n\nThis is one, with its places:\n\n"
        + "\n".join(places)
        + f"\n\nPropose an edit {TASK} Answer with one JSON object in one of these forms:\n\n"
        + EDITS
    )


def schema(parent: str) -> Shape:
    """Exactly the legal edits of a parent with the parts of its menu."""
    held = revision_schema(genome(parent).root, parts(), DEPTH, MOVES)
    return Shape("edit", schema=held)


def read_text(text: str, parent: str) -> str:
    """The first genome in an answer that is valid, however much prose stands around it."""
    fault: UnreadableError | None = None
    for one in expressions(text):
        try:
            return judged(palmette.parse(one), parent)
        except GenomeError as error:
            fault = fault or UnreadableError([str(own) for own in error.faults])
        except UnreadableError as error:
            fault = fault or error
    raise fault or UnreadableError(["there is no expression in it"])


def expressions(text: str) -> Iterator[str]:
    """Calls with their balanced parentheses, the outermost alone; or the answer as it is.

    >>> list(expressions("Try `stack(pre(glu()))`, or pre(lin())."))
    ['stack(pre(glu()))', 'pre(lin())']
    """
    end = 0
    for call in re.finditer(r"[A-Za-z_]\w*\(", text):
        if call.start() < end:
            continue
        depth = 0
        for at in range(call.end() - 1, len(text)):
            depth += {"(": 1, ")": -1}.get(text[at], 0)
            if depth == 0:
                end = at + 1
                yield text[call.start() : end]
                break
    if not end and "(" in text:
        yield text.strip()


def read_edit(text: str, parent: str) -> str:
    """The valid genome that the edit in an answer makes of the parent."""
    data = read_json(text)
    try:
        child = Genome(revise(genome(parent).root, data, palmette.language()).node)
    except GenomeError as error:
        raise UnreadableError([str(fault) for fault in error.faults]) from error
    return judged(child, parent)


FORMS = (
    Form("text", show_text, read_text, free, most_tokens=200),
    Form("constrained", show_edit, read_edit, schema, most_tokens=200),
    Form("repaired", show_edit, read_edit, schema, most_tokens=200, told=True),
    Form("text-told", show_text, read_text, free, most_tokens=200, told=True),
    Form("JSON-told", show_edit, read_edit, free, most_tokens=200, told=True),
)
