"""The JSON object in a model's answer, whatever stands around it and however it is spelt.

Models put objects into fences and between prose, write Python's literals, single quotes, comments
and trailing commas, and stop in the middle. All of that is read; nothing is evaluated. Length and
depth are bounded, and reading takes a time proportional to the length.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from palmette.designer.session import UnreadableError
from palmette.grammar.rules import shown

M = TypeVar("M", bound=BaseModel)

LONGEST = 60_000  # characters of an answer
DEEPEST = 64  # lists and objects inside one another
MOST_DIGITS = 400
TRIES = 16  # places where an object may begin
QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’"}
WORDS = {"true": True, "false": False, "null": None, "none": None, "undefined": None, "nan": None}

_BLANK = re.compile(r"(?:[\s\ufeff]+|//[^\n]*|#[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/|$))*")
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:/\d+)?")
_WORD = re.compile(r"[A-Za-z_$][\w$.-]*|-Infinity")
_FENCE = re.compile(r"\s*```\s*\Z")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_REFUSAL = re.compile(
    r"\bI(?:'m| am|’m)(?: very| so| really)? (?:sorry|unable|not able)\b"
    r"|\bI (?:can(?:no|')t|can’t|can not|won(?:'|’)t|will not|must decline|refuse)\b"
    r"|\b(?:I )?apologi[sz]e\b|\bas an AI\b",
    re.IGNORECASE,
)


def read_json(text: str) -> dict[str, Any]:
    """The first object in a text; if its end was cut, as much of it as there is.

    Of what was cut in the middle, prose is kept and a name or number is left out, for half of one
    is another one. A number that is none (NaN, infinite) is null. Strings come without lone
    surrogates and null characters, which no store takes.

    Raises `UnreadableError`, a refusal if the text is one.

    >>> read_json("Sure! ```json\\n{'at': \\"p2\\", 'new': None, // why\\n}\\n```")
    {'at': 'p2', 'new': None}
    """
    return next(_objects(text))


def read_as(model: type[M], text: str) -> M:
    """The first object in a text that is such a record.

    Raises `UnreadableError` with all that is wrong with the first object if there is none.
    """
    first: ValidationError | None = None
    for data in _objects(text):
        try:
            return model.model_validate(data)
        except ValidationError as error:
            first = first or error
    assert first is not None, "there is an object at least"
    raise UnreadableError([_sentence(detail) for detail in first.errors(include_url=False)])


class _CutError(Exception):
    """The text ends here."""


class _BrokenError(Exception):
    """This is no JSON, however tolerantly read."""


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The objects in a text, whole ones first. Raises `UnreadableError` if there is none."""
    if len(text) > LONGEST:
        raise UnreadableError(
            [f"the answer has {len(text):,} characters, of {LONGEST:,} at most; answer in short"]
        )
    said = _FENCE.sub("\n", text.rpartition("</think>")[2])
    cut, fault = None, None
    found = False
    start = 0
    for _ in range(TRIES):
        start = said.find("{", start)
        if start < 0:
            break
        reader = _Reader(said, start)
        try:
            value = reader.value(0)
        except _BrokenError as error:
            fault = fault or str(error)
            start += 1
            continue
        start = reader.at
        if not isinstance(value, dict) or not value:
            continue
        if reader.cut:
            cut = value
            break
        found = True
        yield value
    if cut is not None:
        yield cut
    elif not found:
        raise _unreadable(said, fault)


def _unreadable(said: str, fault: str | None) -> UnreadableError:
    if refusal := _REFUSAL.search(said[:500]):
        told = " ".join(said[refusal.start() :].split())
        return UnreadableError([f"the answer declines: {shown(told)}"], refused=True)
    if not said.strip():
        return UnreadableError(["the answer is empty; answer with a JSON object"])
    reason = f": {fault}" if fault else f", it begins {shown(said.strip())}"
    return UnreadableError([f"the answer holds no JSON object{reason}; answer with one alone"])


class _Reader:
    """Reads a value from a place in a text; `cut` says whether the text ended within it."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.cut = False

    def value(self, depth: int) -> Any:
        letter = self.next()
        if letter == "{":
            return self.object(depth + 1)
        if letter in "[(":
            return self.list("]" if letter == "[" else ")", depth + 1)
        if letter in QUOTES:
            return self.string(cut_is_kept=True)
        if match := _NUMBER.match(self.text, self.at):
            return self.number(self.taken(match))
        if match := _WORD.match(self.text, self.at):
            word = self.taken(match)
            return None if "infinity" in word.lower() else WORDS.get(word.lower(), word)
        raise _BrokenError(f"wanted a value at character {self.at + 1}, got {shown(letter)}")

    def object(self, depth: int) -> dict[str, Any]:
        self.deeper(depth)
        held: dict[str, Any] = {}
        try:
            while (letter := self.separated()) != "}":
                key = self.key(letter)
                if self.next() not in ":=":
                    raise _BrokenError(f"wanted a colon at character {self.at + 1}")
                self.at += 1
                self.next()
                held[key] = self.value(depth)
                if self.cut:
                    return held
            self.at += 1
        except _CutError:
            self.cut = True
        return held

    def list(self, end: str, depth: int) -> list[Any]:
        self.deeper(depth)
        held: list[Any] = []
        try:
            while self.separated() != end:
                held.append(self.value(depth))
                if self.cut:
                    return held
            self.at += 1
        except _CutError:
            self.cut = True
        return held

    def deeper(self, depth: int) -> None:
        if depth > DEEPEST:
            raise _BrokenError(f"nested more than {DEEPEST} deep")
        self.at += 1

    def separated(self) -> str:
        """The next character after commas."""
        while (letter := self.next()) in ",;":
            self.at += 1
        return letter

    def key(self, letter: str) -> str:
        if letter in QUOTES:
            return self.string(cut_is_kept=False)
        if match := _WORD.match(self.text, self.at):
            return self.taken(match)
        raise _BrokenError(f"wanted a key at character {self.at + 1}, got {shown(letter)}")

    def string(self, cut_is_kept: bool) -> str:
        """A string; its end is a quote that something follows which may follow a string."""
        end = QUOTES[self.text[self.at]]
        self.at += 1
        start, search = self.at, self.at
        while (at := self.text.find(end, search)) >= 0:
            slashes = 0
            while self.text[at - slashes - 1] == "\\":
                slashes += 1
            if slashes % 2 == 0 and self.may_end(at + 1):
                self.at = at + 1
                return _unescaped(self.text[start:at])
            search = at + 1
        said = self.text[start:]
        self.at = len(self.text)
        if not cut_is_kept or not re.search(r"\s", said.strip()):
            raise _CutError
        self.cut = True
        return _unescaped(said.rstrip("\\ \n"))

    def may_end(self, at: int) -> bool:
        match = _SPACE.match(self.text, at)
        assert match is not None, "no space at all matches"
        after = self.text[match.end() : match.end() + 1]
        return not after or after in ",;:=}])/#" or "\n" in match[0]

    def number(self, text: str) -> int | float | str | None:
        if len(text) > MOST_DIGITS:
            raise _BrokenError(f"a number of {len(text)} characters")
        if "/" in text:
            return text  # a ratio, as the language writes it
        plain = text.replace("_", "")
        if plain.lstrip("+-").isdigit():
            return int(plain)
        number = float(plain)
        return number if math.isfinite(number) else None

    def taken(self, match: re.Match[str]) -> str:
        """What matched, unless the text ends with it: then it may have been longer."""
        self.at = match.end()
        if self.at == len(self.text):
            raise _CutError
        return match[0]

    def next(self) -> str:
        """The next character that is neither blank nor comment."""
        match = _BLANK.match(self.text, self.at)
        assert match is not None, "no blank at all matches"
        self.at = match.end()
        if self.at == len(self.text):
            raise _CutError
        return self.text[self.at]


_SPACE = re.compile(r"\s*")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.?)", re.DOTALL)


def _unescaped(text: str) -> str:
    def meant(match: re.Match[str]) -> str:
        escape = match[1]
        if len(escape) == 5:
            return chr(int(escape[1:], 16))
        return _ESCAPES.get(escape, escape)

    said = _ESCAPE.sub(meant, text)
    # Pairs of surrogates become the character that they stand for, lone ones a question mark.
    whole = said.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return whole.replace("\0", "")


def _sentence(detail: ErrorDetails) -> str:
    """A fault of pydantic's as one of ours: `$.change: wants a number, got 'much'`."""
    place = "".join(f"[{at}]" if isinstance(at, int) else f".{at[:80]}" for at in detail["loc"])
    kind, given = detail["type"], shown(detail["input"])
    if kind == "missing":
        return f"${place}: is missing"
    if kind == "extra_forbidden":
        return f"${place}: is not asked for; leave it out"
    for prefix, wanted in _WANTED.items():
        if kind.startswith(prefix):
            return f"${place}: wants {wanted}, got {given}"
    message = detail["msg"].replace("Input should be", "wants")
    return f"${place}: {message[:1].lower()}{message[1:]}, got {given}"


_WANTED = {
    "string_type": "a string",
    "string_unicode": "a string",
    "float_": "a number",
    "int_": "a whole number",
    "bool_": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}
